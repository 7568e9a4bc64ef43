/* Reads command lines of "--name value" and "--name=value" as a table describes them. */
#ifndef COMMON_ARGS_H
#define COMMON_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum arg_kind {
    ARG_PATH,          /* const char *: points into argv */
    ARG_NUMBER,        /* double, from least to most */
    ARG_COUNT,         /* size_t, from least to most */
    ARG_COUNTS,        /* size_t[least], each at most `most`; written 3,2,1 */
    ARG_CHOICE,        /* size_t: the index of the word in `value` */
    ARG_CHOICE_NUMBER, /* size_t: the number that the word ends with */
    ARG_FLAG,          /* bool; takes no value */
    ARG_WORDS,         /* arg_words: one for each time that the option is given, up to `most` */
} arg_kind;

enum { ARG_MOST_WORDS = 64 };
typedef struct arg_words {
    size_t count;
    const char *text[ARG_MOST_WORDS]; /* into argv */
} arg_words;

typedef struct arg {
    /* The name "" stands for words without -- before them, which must be ARG_WORDS. value is what
     * the help text shows; for a choice these are its words: a|b|c. */
    const char *name, *value;
    arg_kind kind;
    size_t offset; /* of the field, in the struct that is filled in */
    double least, most;
    const char *help;
} arg;

/* Fills in the fields of *to that the command line names. On failure text is a sentence. */
bool args_read(int argc, char **argv, size_t n, const arg *table, void *to, size_t size,
               char *text);
/* Whether the command line, which args_read has read, names the option. */
bool args_given(int argc, char **argv, size_t n, const arg *table, const arg *option);
/* Writes a sentence into text, and returns false. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bool args_refuse(size_t size, char *text, const char *format, ...);
void args_help(size_t n, const arg *table);

/* Writes a number with as many digits as it takes to read the same number again. */
void args_write_number(FILE *to, double number);
/* Writes the option's value in *from as args_read reads it: several words with " --name " between
 * them, nothing for a path that was not given or a flag that is not set. */
void args_write(FILE *to, const arg *option, const void *from);
/* value <- what the field of *from says, as on the command line, words with commas between them.
 * False, and "": the option was not given. */
bool args_show(const arg *option, const void *from, size_t size, char *value);
/* text <- the first sentence of the help text, in one line and without the default. */
void args_meaning(const arg *option, size_t size, char *text);

#endif
