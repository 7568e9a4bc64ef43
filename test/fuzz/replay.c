/*
 * main of a fuzz target without libFuzzer: gives it the files named as arguments, and those in the
 * folders named. Each input lies in a block of its own size, so that a sanitizer sees its end.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "fuzz.h"

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, room = 0, got;
    int failed = !file;
    while (!failed) {
        if (size == room) {
            uint8_t *more = realloc(data, room = 2 * room + 4096);
            if ((failed = !more)) break;
            data = more;
        }
        got = fread(data + size, 1, room - size, file);
        size += got;
        if (!got) break;
    }
    failed |= file && ferror(file);
    if (failed)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    else {
        uint8_t *exact = malloc(size ? size : 1);
        if (exact) {
            memcpy(exact, data, size);
            printf("%s (%zu bytes)\n", path, size);
            fflush(stdout); /* the last one named is the one that failed */
            LLVMFuzzerTestOneInput(exact, size);
        }
        failed = !exact;
        free(exact);
    }
    free(data);
    if (file) fclose(file);
    return failed;
}

/* A file, or all in a folder but what is hidden. *files: how many went through. */
static int replay(const char *path, size_t *files)
{
    DIR *folder = opendir(path);
    int failed = 0;
    if (!folder) {
        failed = replay_file(path);
        *files += !failed;
        return failed;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        const size_t room = strlen(path) + strlen(entry->d_name) + 2;
        char *inside = malloc(room);
        if (inside) snprintf(inside, room, "%s/%s", path, entry->d_name);
        failed |= !inside || replay(inside, files);
        free(inside);
    }
    closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    size_t files = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= replay(argv[i], &files);
    printf("%zu inputs\n", files);
    return failed || !files ? EXIT_FAILURE : EXIT_SUCCESS;
}
