/* badimport: needs a host function that no runtime has, so it cannot be instantiated. */
__attribute__((import_module("env"), import_name("nope"))) int nope(int);

int main(void) { return nope(1); }
