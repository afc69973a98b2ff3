/* Stands between the hub and the C library (LD_PRELOAD): a wall clock that jumps, a disk that is slow.
 *
 * What is to happen stands in a file that the test program writes while the hub runs, and that is mapped here; how
 * often it happened is counted in the same file, so that the test program can tell that a fault really struck:
 *
 *   0 shift of the wall clock, ns   8 least delay, ms   16 greatest delay, ms   24 one write in so many is delayed, 0: none
 *   32 clocks shifted              40 syncs delayed    48 writes delayed
 *
 * Without the file, or without a fault in it, every call goes through as it came. Only regular files are slow.
 *
 * Who waits until a moment of the wall clock (librdkafka does, by cnd_timedwait) computes it from the shifted clock, and
 * the kernel waits by its own: the moment is taken back by the shift. What this leaves out is a clock that is set back
 * while somebody waits: such a wait lasts as long as the clock was set back, unless it is woken. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic int64_t shift, delay_min, delay_max, one_in;
    _Atomic int64_t shifted, syncs, writes;
};

static struct control *control;
static _Atomic uint64_t drawn = 1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("MINQIAO_FAULTS_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) control = map;
}

/* The C library's own. */
#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int64_t shift(void) {
    int64_t by = control ? atomic_load(&control->shift) : 0;
    if (by) atomic_fetch_add(&control->shifted, 1);
    return by;
}

static struct timespec moved(struct timespec at, int64_t by) {
    int64_t nanos = at.tv_nsec + by % 1000000000;
    at.tv_sec += by / 1000000000 + (nanos >= 1000000000) - (nanos < 0);
    at.tv_nsec = (nanos + 1000000000) % 1000000000;
    return at;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(clock_gettime);
    int done = real(clock, at);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *at = moved(*at, shift());
    return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int done = clock_gettime(CLOCK_REALTIME, &now);
    if (done == 0) *at = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return done;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    REAL(cnd_timedwait);
    struct timespec now, at = moved(*until, control ? -atomic_load(&control->shift) : 0);
    /* The clock may have been moved since the caller looked at it. */
    if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) == 0 && (at.tv_sec > now.tv_sec + 60)) {
        at = now;
        at.tv_sec += 1;
    }
    return real(condition, mutex, &at);
}

static uint64_t draw(void) {
    uint64_t z = atomic_fetch_add(&drawn, 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    return z ^ (z >> 31);
}

static void wait_a_while(_Atomic int64_t *counter) {
    int64_t least = atomic_load(&control->delay_min), greatest = atomic_load(&control->delay_max);
    if (greatest <= 0) return;
    int64_t millis = least + (int64_t)(draw() % (uint64_t)(greatest - least + 1));
    struct timespec pause = {millis / 1000, millis % 1000 * 1000000};
    while (nanosleep(&pause, &pause) != 0) {
    }
    atomic_fetch_add(counter, 1);
}

static void before_sync(void) {
    if (control) wait_a_while(&control->syncs);
}

static void before_write(int file) {
    int64_t one_in = control ? atomic_load(&control->one_in) : 0;
    struct stat about;
    if (one_in > 0 && draw() % (uint64_t)one_in == 0 && fstat(file, &about) == 0 && S_ISREG(about.st_mode))
        wait_a_while(&control->writes);
}

int fsync(int file) {
    REAL(fsync);
    before_sync();
    return real(file);
}

int fdatasync(int file) {
    REAL(fdatasync);
    before_sync();
    return real(file);
}

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(write);
    before_write(file);
    return real(file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    before_write(file);
    return real(file, bytes, count, at);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    before_write(file);
    return real(file, parts, count);
}
