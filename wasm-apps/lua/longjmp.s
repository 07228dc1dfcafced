# The tag of the exceptions that longjmp throws: the C library declares it and no library has it.
	.tagtype	__c_longjmp i32
	.globl	__c_longjmp
__c_longjmp:
