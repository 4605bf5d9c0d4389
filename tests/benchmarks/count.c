/*
 * A TCG plugin that counts the instructions an emulated program executes, and notes the count when the program asks for it.
 *
 * Each translated block adds its length to the counter as it is entered (a block that is left early, by a fault or a signal,
 * is counted whole). The addition is inlined and not atomic: for programs that work in one thread. The program asks by
 * calling getsid(2), which nothing else does: the count then becomes a line of the file given as the argument out=FILE.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static const int64_t getsid_number = 156; /* asm-generic/unistd.h, as on every newer architecture */

static uint64_t instructions;
static FILE *out;

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &instructions, qemu_plugin_tb_n_insns(block));
}

static void note(qemu_plugin_id_t id, unsigned int cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                 uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == getsid_number) {
        fprintf(out, "%" PRIu64 "\n", instructions);
        fflush(out); /* QEMU may end without closing it */
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fprintf(stderr, "count: give out=FILE\n");
        return -1;
    }
    out = fopen(argv[0] + 4, "w");
    if (out == NULL) {
        perror(argv[0] + 4);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, note);
    return 0;
}
