// SPDX-License-Identifier: Apache-2.0
#include "apiserver/audit/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "common/alloc.h"
#include "common/log.h"

enum { default_size_bytes = 100 << 20, copy_bytes = 64 << 10 };

static const char time_form[] = "%Y-%m-%dT%H-%M-%S", packed_end[] = ".gz";
enum { time_length = sizeof "2026-01-31T12-00-00.000" - 1 };

struct audit_log_file {
    struct audit_log_file_options options;
    char *path;
    char *folder, *stem, *extension; /* "/var/log", "audit-", ".log" */

    pthread_mutex_t lock; /* Guards what follows. */
    int descriptor;
    int64_t size;
    bool tidying, stopping; /* There is something to tidy; it is to be the last time. */
    pthread_cond_t work;

    pthread_t tidier;
    bool has_tidier;
};

/* ---- old files ---- */

struct old_file {
    char *name;
    time_t time;
    bool packed;
};

struct old_files {
    struct old_file *list;
    size_t count, capacity;
};

static void old_files_clear(struct old_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->list[i].name);
    }
    free(files->list);
}

static int newest_first(const void *a, const void *b)
{
    const struct old_file *one = a, *other = b;
    return -strncmp(one->name, other->name,
                    strlen(one->name) < strlen(other->name) ? strlen(one->name)
                                                            : strlen(other->name));
}

/* Whether this is the name of an old file, and from when. */
static bool is_old_file(const struct audit_log_file *file, const char *name, struct old_file *old)
{
    size_t stem = strlen(file->stem), extension = strlen(file->extension);
    struct tm when = {0};
    if (strncmp(name, file->stem, stem) != 0 || strlen(name) < stem + time_length + extension ||
        strncmp(name + stem + time_length, file->extension, extension) != 0) {
        return false;
    }
    const char *rest = name + stem + time_length + extension;
    const char *end = strptime(name + stem, time_form, &when);
    old->packed = strcmp(rest, packed_end) == 0;
    old->time = timegm(&when);
    return end != NULL && *end == '.' && (rest[0] == '\0' || old->packed);
}

static void find_old_files(const struct audit_log_file *file, struct old_files *files)
{
    DIR *folder = opendir(file->folder);
    const struct dirent *entry;
    if (folder == NULL) {
        log_error("audit log: %s can't be read: %s", file->folder, strerror(errno));
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        struct old_file old = {0};
        if (is_old_file(file, entry->d_name, &old)) {
            files->list = grow(files->list, files->count, &files->capacity, sizeof *files->list);
            old.name = duplicate(entry->d_name);
            files->list[files->count++] = old;
        }
    }
    closedir(folder);
    if (files->count > 0) {
        qsort(files->list, files->count, sizeof *files->list, newest_first);
    }
}

static bool copy_packed(int from, gzFile to)
{
    char bytes[copy_bytes];
    ssize_t count;
    while ((count = read(from, bytes, sizeof bytes)) > 0) {
        if (gzwrite(to, bytes, (unsigned)count) != count) {
            return false;
        }
    }
    return count == 0;
}

/* The old file stays until the packed one is whole. */
static void pack(const char *path)
{
    cleanup(free_char)
    char *part = format("%s.gz.part", path);
    cleanup(free_char)
    char *packed = format("%s%s", path, packed_end);
    cleanup(close_descriptor)
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    gzFile stream = from >= 0 && to >= 0 ? gzdopen(to, "wb") : NULL;
    if (stream == NULL) {
        log_error("audit log: %s can't be compressed: %s", path, strerror(errno));
        if (to >= 0) {
            close(to);
        }
        return;
    }
    bool whole = copy_packed(from, stream);
    if (gzclose(stream) == Z_OK && whole && rename(part, packed) == 0) {
        unlink(path);
    } else {
        log_error("audit log: %s can't be compressed", path);
        unlink(part);
    }
}

static void tidy(const struct audit_log_file *file)
{
    struct old_files files = {0};
    time_t now = time(NULL);
    find_old_files(file, &files);
    for (size_t i = 0; i < files.count; i++) {
        const struct old_file *old = &files.list[i];
        bool is_old =
            file->options.age_seconds_max > 0 && now - old->time > file->options.age_seconds_max;
        bool is_beyond = file->options.backups_max > 0 && i >= (size_t)file->options.backups_max;
        cleanup(free_char)
        char *path = format("%s/%s", file->folder, old->name);
        if (is_old || is_beyond) {
            unlink(path);
        } else if (file->options.compress && !old->packed) {
            pack(path);
        }
    }
    old_files_clear(&files);
}

static void *tidier_main(void *argument)
{
    struct audit_log_file *file = argument;
    pthread_mutex_lock(&file->lock);
    for (;;) {
        while (!file->tidying && !file->stopping) {
            pthread_cond_wait(&file->work, &file->lock);
        }
        if (!file->tidying) {
            break;
        }
        file->tidying = false;
        pthread_mutex_unlock(&file->lock);
        tidy(file);
        pthread_mutex_lock(&file->lock);
    }
    pthread_mutex_unlock(&file->lock);
    return NULL;
}

/* ---- the file ---- */

static bool is_output(const struct audit_log_file *file)
{
    return strcmp(file->path, "-") == 0;
}

static bool fail(const struct audit_log_file *file, struct error *error)
{
    return error_internal(error, "audit log %s: %s", file->path, strerror(errno));
}

static bool open_file(struct audit_log_file *file, struct error *error)
{
    struct stat about;
    file->descriptor =
        open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file->descriptor < 0 || fstat(file->descriptor, &about) != 0) {
        return fail(file, error);
    }
    file->size = about.st_size;
    return true;
}

static char *name_of_old(const struct audit_log_file *file)
{
    struct timespec now;
    struct tm parts;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, time_form, &parts);
    return format("%s/%s%s.%03ld%s", file->folder, file->stem, text, now.tv_nsec / 1000000,
                  file->extension);
}

/* There is no such old file, nor one that has been compressed since. */
static bool is_free(const char *name)
{
    cleanup(free_char)
    char *packed = format("%s%s", name, packed_end);
    return access(name, F_OK) != 0 && access(packed, F_OK) != 0;
}

/* The name has milliseconds, which are over soon: no old file is written over. */
static char *free_name_of_old(const struct audit_log_file *file)
{
    char *name = name_of_old(file);
    while (!is_free(name)) {
        free(name);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        name = name_of_old(file);
    }
    return name;
}

static bool begin_another(struct audit_log_file *file, struct error *error)
{
    cleanup(free_char)
    char *old = free_name_of_old(file);
    if (rename(file->path, old) != 0 && errno != ENOENT) {
        return fail(file, error);
    }
    close(file->descriptor);
    file->tidying = true;
    pthread_cond_signal(&file->work);
    return open_file(file, error);
}

static ssize_t write_all(int descriptor, const char *bytes, size_t length)
{
    size_t written = 0;
    while (written < length) {
        ssize_t count = write(descriptor, bytes + written, length - written);
        if (count < 0 && errno != EINTR) {
            break;
        }
        written += count > 0 ? (size_t)count : 0;
    }
    return (ssize_t)written;
}

/* A line of which only a part fits is taken back, so that the next one stands alone. */
static bool append(struct audit_log_file *file, const char *line, size_t length,
                   struct error *error)
{
    size_t written = (size_t)write_all(file->descriptor, line, length);
    if (written == length) {
        file->size += (int64_t)length;
        return true;
    }
    fail(file, error);
    if (written > 0 && !is_output(file) && ftruncate(file->descriptor, file->size) != 0) {
        file->size += (int64_t)written;
    }
    return false;
}

static bool write_locked(struct audit_log_file *file, const char *line, size_t length,
                         struct error *error)
{
    int64_t most = file->options.size_bytes_max;
    if (is_output(file)) {
        return append(file, line, length, error);
    }
    if ((int64_t)length > most) {
        return error_internal(error,
                              "audit log %s: write length %zu exceeds maximum file size %lld",
                              file->path, length, (long long)most);
    }
    if (file->descriptor < 0 && !open_file(file, error)) {
        return false; /* Another could not be begun before. */
    }
    return (file->size + (int64_t)length <= most || begin_another(file, error)) &&
           append(file, line, length, error);
}

bool audit_log_file_write(struct audit_log_file *file, const char *line, size_t length,
                          struct error *error)
{
    pthread_mutex_lock(&file->lock);
    bool done = write_locked(file, line, length, error);
    pthread_mutex_unlock(&file->lock);
    return done;
}

/* ---- set-up ---- */

static void take_path_apart(struct audit_log_file *file)
{
    const char *slash = strrchr(file->path, '/');
    const char *name = slash ? slash + 1 : file->path;
    const char *dot = strrchr(name, '.');
    file->folder = slash == NULL ? duplicate(".")
                   : slash == file->path
                       ? duplicate("/")
                       : duplicate_bytes(file->path, (size_t)(slash - file->path));
    file->stem = format("%.*s-", dot ? (int)(dot - name) : (int)strlen(name), name);
    file->extension = duplicate(dot ? dot : "");
}

static bool make_folder(const struct audit_log_file *file, struct error *error)
{
    for (char *slash = strchr(file->path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        cleanup(free_char)
        char *folder = duplicate_bytes(file->path, (size_t)(slash - file->path));
        if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
            return fail(file, error);
        }
    }
    return true;
}

static bool set_up(struct audit_log_file *file, struct error *error)
{
    if (is_output(file)) {
        file->descriptor = STDOUT_FILENO;
        return true;
    }
    if (!make_folder(file, error) || !open_file(file, error)) {
        return false;
    }
    file->tidying = true; /* What an earlier process has left. */
    file->has_tidier = pthread_create(&file->tidier, NULL, tidier_main, file) == 0;
    return file->has_tidier || error_internal(error, "audit log: no thread can be started");
}

struct audit_log_file *audit_log_file_open(const struct audit_log_file_options *options,
                                           struct error *error)
{
    struct audit_log_file *file = allocate_struct(struct audit_log_file);
    file->options = *options;
    file->descriptor = -1;
    file->path = duplicate(options->path);
    if (file->options.size_bytes_max == 0) {
        file->options.size_bytes_max = default_size_bytes;
    }
    pthread_mutex_init(&file->lock, NULL);
    pthread_cond_init(&file->work, NULL);
    take_path_apart(file);
    if (!set_up(file, error)) {
        audit_log_file_close(file);
        return NULL;
    }
    return file;
}

void audit_log_file_close(struct audit_log_file *file)
{
    if (file == NULL) {
        return;
    }
    pthread_mutex_lock(&file->lock);
    file->stopping = true;
    pthread_cond_signal(&file->work);
    pthread_mutex_unlock(&file->lock);
    if (file->has_tidier) {
        pthread_join(file->tidier, NULL);
    }
    if (file->descriptor >= 0 && !is_output(file)) {
        close(file->descriptor);
    }
    pthread_mutex_destroy(&file->lock);
    pthread_cond_destroy(&file->work);
    free(file->path);
    free(file->folder);
    free(file->stem);
    free(file->extension);
    free(file);
}
