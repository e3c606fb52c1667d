/* Faults at chosen file operations of a real process: loaded with LD_PRELOAD, it stands between every library of the
   process (the interpreter, libavformat, ...) and the system, counts what they do inside one folder, and makes the
   n-th operation fail, be torn, or meet a signal. Armed by fault_arm, or by the environment (FAULT_*). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE = 2, SYNC = 4, NAME = 8, REMOVE = 16, MODE = 32, READ = 64 };
enum { OFF, COUNT, FAIL, FULL, SIGNAL, DELAY };

static struct { int mode, number; unsigned classes; long at; long delay_us; char folder[PATH_MAX]; } plan;
/* shared: [0] operations seen, [1] whether the fault was met, [2] and [3] when the first and the last were, in us */
static long seen, *shared;
static int full, log_fd = -1, started;

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static void *late(void *unused) {
    (void)unused;
    struct timespec wait = {plan.delay_us / 1000000, plan.delay_us % 1000000 * 1000};
    nanosleep(&wait, NULL);
    if (shared) shared[1] = 1;
    kill(getpid(), plan.number);
    return NULL;
}

static void start_clock(void) {
    pthread_t thread;
    sigset_t all, old;
    if (plan.delay_us == 0) {  /* a thread might come too late */
        if (shared) shared[1] = 1;
        kill(getpid(), plan.number);
        return;
    }
    sigfillset(&all);  /* signals are for the threads of the program */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, late, NULL) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void fault_arm(const char *folder, int mode, unsigned classes, long at, int number, long delay_us, long *counters, int fd) {
    snprintf(plan.folder, sizeof plan.folder, "%s", folder);
    plan.classes = classes, plan.at = at, plan.number = number, plan.delay_us = delay_us;
    seen = 0, full = 0, started = 0, shared = counters, log_fd = fd;
    plan.mode = mode;
}

__attribute__((constructor)) static void from_environment(void) {
    const char *folder = getenv("FAULT_FOLDER"), *delay = getenv("FAULT_DELAY_US");
    if (folder && delay) fault_arm(folder, DELAY, CREATE, 1, SIGKILL, atol(delay), NULL, -1);
}

/* Whether a path is the folder or lies in it. */
static int inside(const char *path) {
    size_t length = strlen(plan.folder);
    return strncmp(path, plan.folder, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static int of_descriptor(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int full_path(int folder, const char *name, char *path) {
    char start[PATH_MAX] = "";
    if (name[0] != '/') {
        if (folder == AT_FDCWD ? !getcwd(start, sizeof start) : !of_descriptor(folder, start)) return 0;
    }
    return snprintf(path, PATH_MAX, "%s%s%s", start, start[0] ? "/" : "", name) < PATH_MAX;
}

static void note_time(void) {
    struct timespec now;
    if (!shared) return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    shared[3] = now.tv_sec * 1000000 + now.tv_nsec / 1000;
    if (!shared[2]) shared[2] = shared[3];
}

/* 0: go on. -1: fail with errno set. 1: write half, then meet the fault. */
static int meet(unsigned class, const char *path, const char *what) {
    if (plan.mode == OFF || !(plan.classes & class) || !inside(path)) return 0;
    if (log_fd >= 0) dprintf(log_fd, "%s %s\n", what, path[strlen(plan.folder)] ? path + strlen(plan.folder) + 1 : ".");
    if (plan.mode == DELAY) {
        if (class == CREATE && !started) started = 1, start_clock();
        return 0;
    }
    note_time();
    long now = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (shared) shared[0] = now;
    if (full && (class & (CREATE | WRITE))) return errno = plan.number, -1;
    if (now != plan.at || plan.mode == COUNT) return 0;
    if (shared) shared[1] = 1;
    if (plan.mode == SIGNAL) {
        if (plan.number == SIGKILL && class == WRITE) return 1;
        kill(getpid(), plan.number);
        return 0;
    }
    if (plan.mode == FULL) {
        full = 1;
        if (class == WRITE) return 1;
    }
    return errno = plan.number, -1;
}

static int meet_at(unsigned class, int folder, const char *name, const char *what) {
    char path[PATH_MAX];
    return plan.mode != OFF && full_path(folder, name, path) ? meet(class, path, what) : 0;
}

static int meet_on(unsigned class, int fd, const char *what) {
    char path[PATH_MAX];
    int saved = errno;
    if (plan.mode == OFF || !of_descriptor(fd, path)) return errno = saved, 0;
    return meet(class, path, what);
}

static ssize_t torn(ssize_t written) {
    if (plan.mode == SIGNAL) kill(getpid(), plan.number);
    return written;
}

ssize_t write(int fd, const void *data, size_t size) {
    int met = meet_on(WRITE, fd, "write");
    if (met < 0) return -1;
    if (met > 0 && size < 2) { if (plan.mode == SIGNAL) torn(0); return errno = plan.number, -1; }
    ssize_t done = REAL(ssize_t, "write", int, const void *, size_t)(fd, data, met ? size / 2 : size);
    return met ? torn(done) : done;
}

#define PWRITE(name, offset_type)                                                                      \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset) {                          \
        int met = meet_on(WRITE, fd, "write");                                                         \
        if (met < 0) return -1;                                                                        \
        ssize_t done = REAL(ssize_t, #name, int, const void *, size_t, offset_type)(fd, data, met ? (size + 1) / 2 : size, offset); \
        return met ? torn(done) : done;                                                                \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int met = meet_on(WRITE, fd, "write");
    if (met < 0) return -1;
    ssize_t done = REAL(ssize_t, "writev", int, const struct iovec *, int)(fd, parts, met ? 1 : count);
    return met ? torn(done) : done;
}

ssize_t read(int fd, void *data, size_t size) {
    if (meet_on(READ, fd, "read") < 0) return -1;
    return REAL(ssize_t, "read", int, void *, size_t)(fd, data, size);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    if (meet_on(READ, fd, "read") < 0) return -1;
    return REAL(ssize_t, "pread", int, void *, size_t, off_t)(fd, data, size, offset);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    if (meet_on(READ, fd, "read") < 0) return -1;
    return REAL(ssize_t, "pread64", int, void *, size_t, off64_t)(fd, data, size, offset);
}

#define OPEN(name)                                                                      \
    int name(const char *path, int flags, ...) {                                        \
        va_list more;                                                                   \
        va_start(more, flags);                                                          \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;         \
        va_end(more);                                                                   \
        if (flags & O_CREAT && meet_at(CREATE, AT_FDCWD, path, "create") < 0) return -1; \
        return REAL(int, #name, const char *, int, ...)(path, flags, mode);             \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                                    \
    int name(int folder, const char *path, int flags, ...) {                            \
        va_list more;                                                                   \
        va_start(more, flags);                                                          \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;         \
        va_end(more);                                                                   \
        if (flags & O_CREAT && meet_at(CREATE, folder, path, "create") < 0) return -1;  \
        return REAL(int, #name, int, const char *, int, ...)(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) {
    if (meet_at(CREATE, AT_FDCWD, path, "mkdir") < 0) return -1;
    return REAL(int, "mkdir", const char *, mode_t)(path, mode);
}
int fsync(int fd) {
    if (meet_on(SYNC, fd, "fsync") < 0) return -1;
    return REAL(int, "fsync", int)(fd);
}
int fdatasync(int fd) {
    if (meet_on(SYNC, fd, "fsync") < 0) return -1;
    return REAL(int, "fdatasync", int)(fd);
}
int ftruncate(int fd, off_t size) {
    if (meet_on(WRITE, fd, "truncate") < 0) return -1;
    return REAL(int, "ftruncate", int, off_t)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    if (meet_on(WRITE, fd, "truncate") < 0) return -1;
    return REAL(int, "ftruncate64", int, off64_t)(fd, size);
}
int rename(const char *from, const char *to) {
    if (meet_at(NAME, AT_FDCWD, to, "rename") < 0) return -1;
    return REAL(int, "rename", const char *, const char *)(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    if (meet_at(NAME, b, to, "rename") < 0) return -1;
    return REAL(int, "renameat", int, const char *, int, const char *)(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    if (meet_at(NAME, b, to, "rename") < 0) return -1;
    return REAL(int, "renameat2", int, const char *, int, const char *, unsigned)(a, from, b, to, flags);
}
int link(const char *from, const char *to) {
    if (meet_at(NAME, AT_FDCWD, to, "link") < 0) return -1;
    return REAL(int, "link", const char *, const char *)(from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    if (meet_at(NAME, b, to, "link") < 0) return -1;
    return REAL(int, "linkat", int, const char *, int, const char *, int)(a, from, b, to, flags);
}
int unlink(const char *path) {
    if (meet_at(REMOVE, AT_FDCWD, path, "unlink") < 0) return -1;
    return REAL(int, "unlink", const char *)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    if (meet_at(REMOVE, folder, path, "unlink") < 0) return -1;
    return REAL(int, "unlinkat", int, const char *, int)(folder, path, flags);
}
int rmdir(const char *path) {
    if (meet_at(REMOVE, AT_FDCWD, path, "rmdir") < 0) return -1;
    return REAL(int, "rmdir", const char *)(path);
}
int chmod(const char *path, mode_t mode) {
    if (meet_at(MODE, AT_FDCWD, path, "chmod") < 0) return -1;
    return REAL(int, "chmod", const char *, mode_t)(path, mode);
}
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    if (meet_at(MODE, folder, path, "chmod") < 0) return -1;
    return REAL(int, "fchmodat", int, const char *, mode_t, int)(folder, path, mode, flags);
}
