// SPDX-License-Identifier: Apache-2.0
/* The schema compiler's command line, its memory and its complaints. See compiler.h. */
#include "api-schemas/compiler.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"

struct arena_block {
    struct arena_block *next;
    max_align_t bytes[];
};

void *arena_allocate(struct compiler *compiler, size_t size)
{
    struct arena_block *block = allocate_zero(1, sizeof(*block) + size);
    block->next = compiler->arena;
    compiler->arena = block;
    return block->bytes;
}

char *arena_duplicate(struct compiler *compiler, const char *text, size_t length)
{
    char *copy = arena_allocate(compiler, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *arena_format(struct compiler *compiler, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *formatted = format_list(text, arguments);
    va_end(arguments);
    return arena_duplicate(compiler, formatted, strlen(formatted));
}

void complain(struct compiler *compiler, const struct node *at, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fprintf(stderr, "%s:%zu: ", at->file, at->line);
    vfprintf(stderr, text, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    compiler->complaint_count++;
}

static void compiler_free(struct compiler *compiler)
{
    while (compiler->arena != NULL) {
        struct arena_block *next = compiler->arena->next;
        free(compiler->arena);
        compiler->arena = next;
    }
    free(compiler->sources);
    free(compiler->types);
    free(compiler->resources);
}

static bool write_file(const char *path, const struct buffer *text)
{
    cleanup(close_stream)
    FILE *stream = fopen(path, "we");
    if (stream == NULL || fwrite(text->bytes, 1, text->length, stream) != text->length ||
        fflush(stream) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static void read_files(struct compiler *compiler, char *const *paths, size_t count)
{
    /* Sources are pointed at, so their array may not move. */
    compiler->sources = allocate_zero(count, sizeof(*compiler->sources));
    for (size_t i = 0; i < count; i++) {
        const struct node *root = document_read(compiler, paths[i]);
        if (root != NULL) {
            struct source *source = &compiler->sources[compiler->source_count++];
            source->file = paths[i];
            model_add_file(compiler, source, root);
        }
    }
}

static const char usage[] = "Usage: schema-compiler -o TABLES.c FILE.yaml…\n"
                            "Compiles descriptions of the API into C tables.\n";

int main(int argc, char **argv)
{
    const char *output = NULL;
    for (int option; (option = getopt(argc, argv, "ho:")) != -1;) {
        if (option == 'o') {
            output = optarg;
        } else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (output == NULL || optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    cleanup(compiler_free)
    struct compiler compiler = {0};
    read_files(&compiler, argv + optind, (size_t)(argc - optind));
    if (compiler.complaint_count == 0) {
        resolve_all(&compiler);
    }
    if (compiler.complaint_count > 0) {
        return 1;
    }
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    emit_tables(&compiler, &text);
    return write_file(output, &text) ? 0 : 1;
}
