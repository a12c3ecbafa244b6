/* Runs as if it were QEMU, and tries what a guest that has taken QEMU over would try.
 *
 * One line for each attempt: `denied NAME ERROR` or `ALLOWED NAME`. The attempts of the first argument `all` take: the
 * owner's process id, then paths. `memory N` touches N MiB; `threads N` starts N threads. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, const char *detail, long result) {
    if (result < 0)
        dprintf(2, "denied %s%s %s\n", name, detail, strerror(errno));
    else
        dprintf(2, "ALLOWED %s%s\n", name, detail);
}

/* For what must be refused as such, and not for some other reason, such as wrong arguments. */
static void refused(const char *name, long result) {
    if (result < 0 && errno == EPERM)
        dprintf(2, "denied %s\n", name);
    else
        dprintf(2, "ALLOWED %s (%s)\n", name, result < 0 ? strerror(errno) : "done");
}
#define REFUSED(number, ...) refused(#number, syscall(number, ##__VA_ARGS__))
/* Too young for some C libraries. */
#define SYS_FCHMODAT2 452
#define SYS_SETXATTRAT 463
#define SYS_REMOVEXATTRAT 466
#define SYS_FILE_SETATTR 469

/* Descriptor 8 is a file that was handed over for reading. */
static void metadata(void) {
    const char *file = "/proc/self/fd/8", *attribute = "user.pyro";
    struct fsxattr { unsigned words[7]; } attributes = {{0}};
    long times[4] = {0};
    int flags = 0;
    REFUSED(SYS_chmod, file, 0777);
    REFUSED(SYS_fchmod, 8, 0777);
    REFUSED(SYS_fchmodat, AT_FDCWD, file, 0777);
    REFUSED(SYS_FCHMODAT2, 8, "", 0777, AT_EMPTY_PATH);
    REFUSED(SYS_chown, file, -1, -1);
    REFUSED(SYS_fchown, 8, -1, -1);
    REFUSED(SYS_lchown, file, -1, -1);
    REFUSED(SYS_fchownat, 8, "", -1, -1, AT_EMPTY_PATH);
    REFUSED(SYS_utime, file, NULL);
    REFUSED(SYS_utimes, file, NULL);
    REFUSED(SYS_utimensat, 8, NULL, times, 0);
    REFUSED(SYS_futimesat, 8, NULL, NULL);
    REFUSED(SYS_setxattr, file, attribute, "x", 1, 0);
    REFUSED(SYS_lsetxattr, file, attribute, "x", 1, 0);
    REFUSED(SYS_fsetxattr, 8, attribute, "x", 1, 0);
    REFUSED(SYS_SETXATTRAT, 8, "", AT_EMPTY_PATH, attribute, times, 16);
    REFUSED(SYS_removexattr, file, attribute);
    REFUSED(SYS_lremovexattr, file, attribute);
    REFUSED(SYS_fremovexattr, 8, attribute);
    REFUSED(SYS_REMOVEXATTRAT, 8, "", AT_EMPTY_PATH, attribute);
    REFUSED(SYS_FILE_SETATTR, 8, "", times, 24, AT_EMPTY_PATH);
    REFUSED(SYS_link, file, "/tmp/pyro-link");
    REFUSED(SYS_linkat, 8, "", AT_FDCWD, "/tmp/pyro-link", AT_EMPTY_PATH);
    REFUSED(SYS_symlink, file, "/tmp/pyro-link");
    REFUSED(SYS_symlinkat, file, AT_FDCWD, "/tmp/pyro-link");
    REFUSED(SYS_mknod, "/tmp/pyro-node", S_IFIFO, 0);
    REFUSED(SYS_mknodat, AT_FDCWD, "/tmp/pyro-node", S_IFIFO, 0);
    REFUSED(SYS_rename, file, "/tmp/pyro-link");
    REFUSED(SYS_renameat, AT_FDCWD, file, AT_FDCWD, "/tmp/pyro-link");
    REFUSED(SYS_renameat2, AT_FDCWD, file, AT_FDCWD, "/tmp/pyro-link", 0);
    refused("FS_IOC_SETFLAGS", ioctl(8, 0x40086602, &flags));
    refused("FS_IOC_FSSETXATTR", ioctl(8, 0x401c5820, &attributes));
    refused("F_SETLEASE", fcntl(8, F_SETLEASE, F_RDLCK));
}

/* What reaches other processes by a number. */
static void others(pid_t owner) {
    struct f_owner_ex who = {F_OWNER_PID, owner};
    struct rlimit limit = {0, 0};
    int number = owner;
    REFUSED(SYS_shmget, 0x7079, 4096, 01600);
    REFUSED(SYS_shmat, 0, NULL, 0);
    REFUSED(SYS_semget, 0x7079, 1, 01600);
    REFUSED(SYS_semop, 0, NULL, 0);
    REFUSED(SYS_msgget, 0x7079, 01600);
    REFUSED(SYS_mq_open, "pyro-probe", O_RDWR | O_CREAT, 0600, NULL);
    REFUSED(SYS_sched_setparam, 0, NULL);
    REFUSED(SYS_sched_setscheduler, owner, 0, NULL);
    REFUSED(SYS_sched_setattr, 0, NULL, 0);
    REFUSED(SYS_sched_setaffinity, owner, 0, NULL);
    REFUSED(SYS_setpriority, PRIO_PROCESS, owner, 19);
    REFUSED(SYS_ioprio_set, 1, owner, 0);
    REFUSED(SYS_prlimit64, owner, RLIMIT_CORE, &limit, NULL);
    refused("F_SETOWN", fcntl(3, F_SETOWN, owner));
    refused("F_SETOWN_EX", fcntl(3, F_SETOWN_EX, &who));
    refused("F_SETSIG", fcntl(3, F_SETSIG, SIGKILL));
    refused("FIOSETOWN", ioctl(3, 0x8901, &number));
    refused("SIOCSPGRP", ioctl(3, 0x8902, &number));
    getrlimit(RLIMIT_RTPRIO, &limit);
    tell("real-time priority", "", limit.rlim_max ? 0 : -1);
}

static void child(const char *name, long pid) {
    if (pid == 0) _exit(0);
    tell(name, "", pid);
}

static void path(const char *path) {
    struct stat status;
    tell("read ", path, open(path, O_RDONLY));
    tell("write ", path, open(path, O_WRONLY));
    tell("list ", path, (long)opendir(path) ? 0 : -1);
    tell("empty ", path, truncate(path, 0));
    tell("remove ", path, unlink(path));
    tell("rename ", path, rename(path, "/tmp/renamed"));
    tell("execute ", path, execl(path, path, NULL));
    (void)status;
}

static void files(int n, char **paths) {
    for (int i = 0; i < n; i++) path(paths[i]);
    tell("create in ", "/", open("/pyro-probe", O_CREAT | O_WRONLY, 0600));
    tell("create in ", "/tmp", open("/tmp/pyro-probe", O_CREAT | O_WRONLY, 0600));
    tell("create in ", "/dev/shm", open("/dev/shm/pyro-probe", O_CREAT | O_WRONLY, 0600));
    tell("list ", ".", (long)opendir(".") ? 0 : -1);
    tell("template for writing", "", open("/proc/self/fd/8", O_RDWR));
    tell("template truncate", "", truncate("/proc/self/fd/8", 0));
    int fd = open("/proc/self/fd/8", O_RDONLY);
    dprintf(2, fd < 0 ? "MISSING template for reading %s\n" : "given template\n", strerror(errno));
}

static void sockets(void) {
    struct sockaddr_in internet = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0pyro-probe-abstract"};
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + sizeof("\0pyro-probe-abstract") - 1;
    int pair[2];
    tell("socket inet", "", socket(AF_INET, SOCK_STREAM, 0));
    tell("socket inet6", "", socket(AF_INET6, SOCK_DGRAM, 0));
    tell("socket netlink", "", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    tell("socket packet", "", socket(AF_PACKET, SOCK_RAW, 0));
    tell("socket vsock", "", socket(AF_VSOCK, SOCK_STREAM, 0));
    tell("socketpair dgram", "", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    tell("socket unix", "", one);
    /* Descriptor 3 is a socket that was handed over. */
    int to = one < 0 ? 3 : one;
    tell("connect abstract", "", connect(to, (struct sockaddr *)&abstract, length));
    tell("connect internet", "", connect(to, (struct sockaddr *)&internet, sizeof internet));
    tell("bind internet", "", bind(to, (struct sockaddr *)&internet, sizeof internet));
    tell("listen", "", listen(to, 1));
}

static int nothing(void *unused) { (void)unused; return 0; }

static void processes(pid_t owner) {
    static char stack[65536];
    char text[64];
    char *none[] = {NULL};
    pid_t spawned;
    long word = 0;
    struct iovec local = {&word, sizeof word}, remote = {(void *)0x10000, sizeof word};
    child("fork", syscall(SYS_fork));
    child("fork by libc", fork());
    child("vfork", syscall(SYS_vfork));
    tell("clone", "", clone(nothing, stack + sizeof stack, SIGCHLD, NULL));
    tell("clone vm", "", clone(nothing, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
    long arguments[11] = {0, 0, 0, 0, SIGCHLD};
    child("clone3", syscall(SYS_clone3, arguments, 64));
    errno = posix_spawn(&spawned, "/bin/true", NULL, NULL, none, none);
    tell("posix_spawn", "", errno ? -1 : 0);
    tell("ptrace owner", "", ptrace(PTRACE_SEIZE, owner, 0, 0));
    tell("ptrace me", "", ptrace(PTRACE_TRACEME, 0, 0, 0));
    tell("process_vm_readv", "", process_vm_readv(owner, &local, 1, &remote, 1, 0));
    tell("kill owner", "", kill(owner, 0));
    tell("kill all", "", kill(-1, 0));
    tell("tgkill owner", "", syscall(SYS_tgkill, owner, owner, 0));
    tell("pidfd of owner", "", syscall(SYS_pidfd_open, owner, 0));
    tell("know the owner", "", getppid() == owner ? 0 : (errno = ESRCH, -1));
    snprintf(text, sizeof text, "/proc/%d/environ", owner);
    tell("read owner's environment", "", open(text, O_RDONLY));
    tell("list processes", "", (long)opendir("/proc") ? 0 : -1);
    tell("outlive owner", "", prctl(PR_SET_PDEATHSIG, 0));
}

static void privileges(void) {
    struct rlimit limit;
    tell("mount", "", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
    tell("umount", "", umount2("/proc", MNT_DETACH));
    tell("chroot", "", chroot("/usr"));
    tell("unshare user", "", unshare(CLONE_NEWUSER));
    tell("unshare files", "", unshare(CLONE_FS));
    tell("setns", "", setns(3, 0));
    tell("setuid 0", "", setuid(0));
    tell("setgid 0", "", setgid(0));
    tell("bpf", "", syscall(SYS_bpf, 0, NULL, 0));
    tell("perf", "", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    tell("keyctl", "", syscall(SYS_keyctl, 0, 0));
    tell("io_uring", "", syscall(SYS_io_uring_setup, 1, NULL));
    tell("userfaultfd", "", syscall(SYS_userfaultfd, 0));
    tell("handle", "", syscall(SYS_open_by_handle_at, 0, NULL, 0));
    tell("module", "", syscall(SYS_init_module, NULL, 0, ""));
    tell("reboot", "", syscall(SYS_reboot, 0, 0, 0, NULL));
    tell("sethostname", "", sethostname("probe", 5));
    tell("x32", "", syscall(0x40000000 + 39));
    tell("push into terminal", "", ioctl(2, TIOCSTI, "x"));
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
    tell("raise limit", "", setrlimit(RLIMIT_NOFILE, &limit));
    getrlimit(RLIMIT_CORE, &limit);
    tell("core files", "", limit.rlim_max > 1 ? 0 : (errno = EFBIG, -1));
    errno = EPERM;
    tell("no_new_privs off", "", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -1 : 0);
}

static void count_descriptors(void) {
    for (int fd = 0; fd < 5000; fd++)
        if (fcntl(fd, F_GETFD) >= 0) dprintf(2, "descriptor %d\n", fd);
}

static void *wait_for_ever(void *unused) { (void)unused; pause(); return NULL; }

static void threads(int n) {
    pthread_t thread;
    int started = 1;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (started < n && pthread_create(&thread, &small, wait_for_ever, NULL) == 0) started++;
    dprintf(2, "threads %d\n", started);
}

static void memory(long mib) {
    for (long i = 0; i < mib; i++) {
        char *block = malloc(1 << 20);
        if (!block) { dprintf(2, "denied memory\n"); return; }
        memset(block, 1, 1 << 20);
    }
    dprintf(2, "ALLOWED memory\n");
}

int main(int n, char **arguments) {
    if (n > 1 && !strcmp(arguments[1], "--version")) return puts("QEMU emulator version 10.0.0 (probe)") < 0;
    if (n > 1 && !strcmp(arguments[1], "wait")) { dprintf(2, "waits\n"); pause(); return 0; }
    if (n > 2 && !strcmp(arguments[1], "memory")) memory(atol(arguments[2]));
    if (n > 2 && !strcmp(arguments[1], "threads")) threads(atoi(arguments[2]));
    if (n > 2 && !strcmp(arguments[1], "all")) {
        count_descriptors();
        sockets();
        processes(atoi(arguments[2]));
        privileges();
        metadata();
        others(atoi(arguments[2]));
        files(n - 3, arguments + 3);
    }
    dprintf(2, "done\n");
    return 0;
}
