/* What the processor can run, for loops that are compiled for several sets of instructions. */
#ifndef MSKP_BASE_PROCESSOR_H
#define MSKP_BASE_PROCESSOR_H

/* Whether loops are also compiled for wider vectors than the library is. On Windows gcc does not
 * align the stack for them. */
#if defined __GNUC__ && defined __x86_64__ && !defined _WIN32
#define PROCESSOR_WIDE 1
#else
#define PROCESSOR_WIDE 0
#endif

/* From the narrowest to the widest. PLAIN: one element at a time, and no loop for vectors. AVX512:
 * with F, BW, DQ and VL. */
typedef enum processor_set {
    PROCESSOR_PLAIN,
    PROCESSOR_BASELINE,
    PROCESSOR_AVX2,
    PROCESSOR_AVX512
} processor_set;

/* The widest set that may be used. */
processor_set mskpi_processor(void);

#endif
