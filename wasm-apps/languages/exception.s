# The tag of C++ exceptions: the compiler expects it, and no library here has it.
	.tagtype	__cpp_exception i32
	.globl	__cpp_exception
__cpp_exception:
