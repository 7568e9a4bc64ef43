#include "args.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_count(const char *text, const char **end, size_t *n)
{
    *n = 0;
    *end = text;
    for (; **end >= '0' && **end <= '9'; ++*end) {
        if (*n > SIZE_MAX / 16) return false;
        *n = *n * 10 + (size_t)(**end - '0');
    }
    return *end != text;
}

/* The index of a word in "one|two|three". */
static bool read_choice(const char *words, const char *word, size_t *index)
{
    const size_t n = strlen(word);
    for (*index = 0;; ++*index) {
        const size_t length = strcspn(words, "|");
        if (length == n && !memcmp(words, word, n)) return true;
        if (!words[length]) return false;
        words += length + 1;
    }
}

static bool read_counts(const char *text, size_t n, double most, size_t *counts)
{
    for (size_t i = 0; i < n; i++) {
        const char *end;
        if (!read_count(text, &end, &counts[i]) || (double)counts[i] > most) return false;
        if (*end != (i + 1 < n ? ',' : 0)) return false;
        text = end + 1;
    }
    return true;
}

static bool read_word(const arg *option, const char *word, arg_words *words)
{
    if (!*word || words->count >= ARG_MOST_WORDS || (double)words->count >= option->most)
        return false;
    words->text[words->count++] = word;
    return true;
}

static bool read_value(const arg *option, const char *value, void *all)
{
    void *to = (char *)all + option->offset;
    const char *end;
    char *stop;
    size_t index, *count = to;
    double *number = to;
    switch (option->kind) {
    case ARG_PATH:
        *(const char **)to = value;
        return *value != 0;
    case ARG_NUMBER:
        *number = strtod(value, &stop);
        return stop != value && !*stop && *number >= option->least && *number <= option->most;
    case ARG_COUNT:
        return read_count(value, &end, count) && !*end && (double)*count >= option->least &&
               (double)*count <= option->most;
    case ARG_CHOICE:
        return read_choice(option->value, value, count);
    case ARG_CHOICE_NUMBER:
        return read_choice(option->value, value, &index) &&
               read_count(value + strcspn(value, "0123456789"), &end, count);
    case ARG_COUNTS:
        return read_counts(value, (size_t)option->least, option->most, count);
    case ARG_WORDS:
        return read_word(option, value, to);
    case ARG_FLAG:
        break;
    }
    return false;
}

bool args_refuse(size_t size, char *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(text, size, format, list);
    va_end(list);
    return false;
}

static bool refuse_value(const arg *option, const char *value, size_t size, char *text)
{
    if (option->kind != ARG_NUMBER && option->kind != ARG_COUNT)
        return args_refuse(size, text, "--%s: \"%.80s\" is not %s", option->name, value,
                           option->value);
    return args_refuse(size, text, "--%s: \"%.80s\" is not a %s from %g to %g", option->name, value,
                       option->kind == ARG_COUNT ? "whole number" : "number", option->least,
                       option->most);
}

static const arg *find(const char *name, size_t length, size_t n, const arg *table)
{
    for (size_t k = 0; k < n; k++)
        if (strlen(table[k].name) == length && !memcmp(table[k].name, name, length))
            return &table[k];
    return NULL;
}

bool args_read(int argc, char **argv, size_t n, const arg *table, void *to, size_t size, char *text)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (!strcmp(word, "-h")) word = "--help";
        if (strncmp(word, "--", 2) != 0) {
            const arg *words = *word == '-' ? NULL : find("", 0, n, table);
            if (!words)
                return args_refuse(size, text, "\"%.80s\" is not an option; see --help", word);
            if (!read_value(words, word, to))
                return args_refuse(size, text, "\"%.80s\" is one word too many; see --help", word);
            continue;
        }
        const size_t length = strcspn(word + 2, "=");
        const arg *option = length ? find(word + 2, length, n, table) : NULL;
        if (!option)
            return args_refuse(size, text, "there is no option \"%.80s\"; see --help", word);
        if (word[2 + length]) value = word + 3 + length;
        if (option->kind == ARG_FLAG) {
            if (value) return args_refuse(size, text, "--%s takes no value", option->name);
            *(bool *)((char *)to + option->offset) = true;
            continue;
        }
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value)
            return args_refuse(size, text, "--%s needs a value: %s", option->name, option->value);
        if (!read_value(option, value, to)) return refuse_value(option, value, size, text);
    }
    return true;
}

bool args_given(int argc, char **argv, size_t n, const arg *table, const arg *option)
{
    for (int i = 1; i < argc; i++) {
        const char *const word = argv[i];
        if (strncmp(word, "--", 2) != 0) continue;
        const size_t length = strcspn(word + 2, "=");
        const arg *const found = find(word + 2, length, n, table);
        if (found && !strcmp(found->name, option->name)) return true;
        if (found && found->kind != ARG_FLAG && !word[2 + length]) i++;
    }
    return false;
}

void args_write_number(FILE *to, double number)
{
    char text[40] = "";
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (!(strtod(text, NULL) < number) && !(strtod(text, NULL) > number)) break;
    }
    fputs(text, to);
}

/* The word with this index in "one|two|three". */
static void write_choice(FILE *to, const char *words, size_t index)
{
    for (; index; index--) words += strcspn(words, "|") + 1;
    fprintf(to, "%.*s", (int)strcspn(words, "|"), words);
}

void args_write(FILE *to, const arg *option, const void *from)
{
    const void *field = (const char *)from + option->offset;
    const size_t *count = field;
    const arg_words *words = field;
    const char *path;
    double number;
    bool flag;
    switch (option->kind) {
    case ARG_PATH:
        memcpy(&path, field, sizeof path);
        if (path) fputs(path, to);
        break;
    case ARG_NUMBER:
        memcpy(&number, field, sizeof number);
        args_write_number(to, number);
        break;
    case ARG_COUNT:
    case ARG_CHOICE_NUMBER:
        fprintf(to, "%zu", *count);
        break;
    case ARG_COUNTS:
        for (size_t i = 0; i < (size_t)option->least; i++)
            fprintf(to, "%s%zu", i ? "," : "", count[i]);
        break;
    case ARG_CHOICE:
        write_choice(to, option->value, *count);
        break;
    case ARG_FLAG:
        memcpy(&flag, field, sizeof flag);
        if (flag) fputs("set", to);
        break;
    case ARG_WORDS:
        for (size_t i = 0; i < words->count; i++) {
            if (i) fprintf(to, " --%s ", option->name);
            fputs(words->text[i], to);
        }
        break;
    }
}

void args_help(size_t n, const arg *table)
{
    for (const arg *o = table; o < table + n; o++) {
        if (!*o->name) continue;
        printf("  --%s%s%s\n        ", o->name, o->value ? " " : "", o->value ? o->value : "");
        for (const char *c = o->help; *c; c++) {
            putchar(*c);
            if (*c == '\n') printf("        ");
        }
        putchar('\n');
    }
    printf("Exit status: 0; 1 after an error; 2 if the command line is not valid.\n");
}

/* ---- back to text ---- */

/* The word of "one|two|three" with this index. */
static bool show_choice(const char *words, size_t index, size_t size, char *value)
{
    for (; index && *words; index--) words += strcspn(words, "|") + (strchr(words, '|') != NULL);
    snprintf(value, size, "%.*s", (int)strcspn(words, "|"), words);
    return *value != 0;
}

/* The word that ends with this number. */
static bool show_ending(const char *words, size_t number, size_t size, char *value)
{
    const char *end;
    size_t n;
    while (number && *words) {
        const size_t length = strcspn(words, "|");
        if (read_count(words + strcspn(words, "0123456789"), &end, &n) && n == number) {
            snprintf(value, size, "%.*s", (int)length, words);
            return true;
        }
        words += length + (words[length] != 0);
    }
    return false;
}

static bool show_words(const arg_words *words, size_t size, char *value)
{
    size_t used = 0;
    for (size_t i = 0; i < words->count && used < size; i++)
        used += (size_t)snprintf(value + used, size - used, "%s%s", i ? ", " : "", words->text[i]);
    return words->count > 0;
}

bool args_show(const arg *option, const void *from, size_t size, char *value)
{
    const void *at = (const char *)from + option->offset;
    const size_t *count = at;
    const double *number = at;
    size_t used = 0;
    *value = 0;
    switch (option->kind) {
    case ARG_PATH:
        if (*(const char *const *)at) snprintf(value, size, "%s", *(const char *const *)at);
        break;
    case ARG_NUMBER:
        if (*number >= option->least && *number <= option->most)
            snprintf(value, size, "%.10g", *number);
        break;
    case ARG_COUNT:
        if ((double)*count >= option->least) snprintf(value, size, "%zu", *count);
        break;
    case ARG_COUNTS:
        for (size_t i = 0; i < (size_t)option->least && used < size; i++)
            used += (size_t)snprintf(value + used, size - used, "%s%zu", i ? "," : "", count[i]);
        break;
    case ARG_CHOICE:
        return show_choice(option->value, *count, size, value);
    case ARG_CHOICE_NUMBER:
        return show_ending(option->value, *count, size, value);
    case ARG_FLAG:
        if (*(const bool *)at) snprintf(value, size, "yes");
        break;
    case ARG_WORDS:
        return show_words(at, size, value);
    }
    return *value != 0;
}

void args_meaning(const arg *option, size_t size, char *text)
{
    const char *c = option->help ? option->help : "";
    size_t used = 0;
    for (; *c && used + 1 < size; c++) {
        if ((c[0] == '.' && (!c[1] || c[1] == ' ' || c[1] == '\n')) || (c[0] == ' ' && c[1] == '['))
            break;
        text[used++] = *c;
        if (*c == '\n') text[used - 1] = ' ';
    }
    text[used] = 0;
}
