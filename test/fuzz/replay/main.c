// SPDX-License-Identifier: Apache-2.0
/*
 * In the place of libFuzzer: gives a fuzzer the kept inputs that are named, and no others. So any
 * compiler will do, and the end is the same each time.
 */
#include "test/fuzz/fuzz.h"

/* Of its own size, so that the sanitizers see who reads behind its end. */
static uint8_t *read_input(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *size = (size_t)ftell(file);
    uint8_t *data = allocate(*size);
    rewind(file);
    if (fread(data, 1, *size, file) != *size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return data;
}

int main(int count, char **paths)
{
    for (int i = 1; i < count; i++) {
        size_t size;
        fprintf(stderr, "# %s\n", paths[i]);
        uint8_t *data = read_input(paths[i], &size);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    if (count < 2) {
        fprintf(stderr, "usage: %s INPUT…\n", paths[0]);
        return 2;
    }
    return 0;
}
