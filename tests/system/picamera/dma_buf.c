/* Preloaded where the kernel has no DMA buffer heaps: shared memory in their place. An ordinary file stands for
 * /dev/dma_heap/linux,cma in the tree; only what is asked of it is answered here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == DMA_HEAP_IOCTL_ALLOC) {
        struct dma_heap_allocation_data *asked = argument;
        int made = memfd_create("dma-buf", MFD_CLOEXEC);
        if (made < 0 || ftruncate(made, (off_t)asked->len))
            return -1;
        asked->fd = (unsigned)made;
        return 0;
    }
    if (request == DMA_BUF_SET_NAME_A || request == DMA_BUF_SET_NAME_B || request == DMA_BUF_IOCTL_SYNC)
        return 0;
    if (!real)
        real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
