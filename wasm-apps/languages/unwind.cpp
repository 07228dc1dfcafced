// libunwind's part for WebAssembly, which is C, compiled as the C++ that the rest is.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define __declspec(what)
#include "config.h"
#include "unwind.h"

extern "C" {
#include "Unwind-wasm.c"
}
