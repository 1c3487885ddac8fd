/* What a RUN needs to make every kind of change, in less than a kilobyte and without a library:
 *
 *     tool rm PATH          remove a file
 *     tool replace DIR      remove a folder with the file "old" in it, make it anew with "new"
 *     tool link OLD NEW     another name for a file
 *     tool grow PATH        write four bytes behind a file
 *     tool move OLD NEW
 */
static long call(long number, const void *a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

enum { WRITE = 1, OPEN = 2, CLOSE = 3, EXIT = 60, RENAME = 82, MKDIR = 83, RMDIR = 84, LINK = 86,
       UNLINK = 87, CHDIR = 80 };
enum { WRONLY = 1, CREATE = 0100, APPEND = 02000 };

static long append(const char *path) {
    long file = call(OPEN, path, WRONLY | CREATE | APPEND, 0644);
    return file < 0 ? file : call(WRITE, (void *)file, (long)"more", 4);
}

static long replace(const char *folder) {
    long failed = call(CHDIR, folder, 0, 0) | call(UNLINK, "old", 0, 0) | call(CHDIR, "/", 0, 0);
    failed |= call(RMDIR, folder, 0, 0) | call(MKDIR, folder, 0755, 0);
    failed |= call(CHDIR, folder, 0, 0);
    return failed != 0 ? failed : append("new") - 4;
}

static long run(char **words) {
    switch (words[1][0] + words[1][1]) {
    case 'r' + 'm': return call(UNLINK, words[2], 0, 0);
    case 'r' + 'e': return replace(words[2]);
    case 'l' + 'i': return call(LINK, words[2], (long)words[3], 0);
    case 'g' + 'r': return append(words[2]) - 4;
    default: return call(RENAME, words[2], (long)words[3], 0);
    }
}

void start(long *stack) { call(EXIT, (void *)(long)(run((char **)(stack + 1)) != 0), 0, 0); }
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
