// A stand-in for the driver of a camera (V4L2), to be preloaded: an opened file of the name $CAPTURE_DEVICE answers as a device that captures
// 64x48 gray pictures, the n-th of which has n in each pixel. After $CAPTURE_FRAMES of them it is gone ($CAPTURE_END=unplug), or its next
// picture never comes ($CAPTURE_END=stall): as in the kernel, VIDIOC_DQBUF then waits until the stream is switched off, and only one opening can stream.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 64, HEIGHT = 48, PAGE = 4096, BUFFERS = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char is_ours[1024];
static int owner = -1, streaming, frames;
static char queued[BUFFERS];

static int opened(int fd, const char *path) {
    const char *device = getenv("CAPTURE_DEVICE");
    if (fd >= 0 && fd < (int)sizeof is_ours && device && !strcmp(path, device)) {
        is_ours[fd] = 1;
        if (ftruncate(fd, BUFFERS * PAGE)) return -1;
    }
    return fd;
}

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
        va_list rest;                                                  \
        va_start(rest, flags);                                         \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest);                                                  \
        return opened(real(path, flags, mode), path);                  \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < (int)sizeof is_ours && is_ours[fd]) {
        is_ours[fd] = 0;
        if (owner == fd) owner = -1, streaming = 0;
    }
    pthread_mutex_unlock(&lock);
    return real(fd);
}

static int fail(int number) {
    errno = number;
    return -1;
}

static int dequeue(int fd, struct v4l2_buffer *buffer) {
    const char *most = getenv("CAPTURE_FRAMES"), *end = getenv("CAPTURE_END");
    for (;;) {
        pthread_mutex_unlock(&lock);
        usleep(10000);
        pthread_mutex_lock(&lock);
        if (owner != fd || !streaming) return fail(EINVAL);
        if (most && frames >= atoi(most)) {
            if (end && !strcmp(end, "unplug")) return fail(ENODEV);
            continue;
        }
        for (int i = 0; i < BUFFERS; i++) {
            if (!queued[i]) continue;
            char picture[WIDTH * HEIGHT];
            memset(picture, ++frames, sizeof picture);
            if (pwrite(fd, picture, sizeof picture, i * PAGE) != sizeof picture) return fail(EIO);
            queued[i] = 0;
            buffer->index = i, buffer->bytesused = sizeof picture, buffer->flags = 0;
            return 0;
        }
    }
}

static int answer(int fd, unsigned long request, void *argument) {
    switch (request) {
    case VIDIOC_QUERYCAP:
        ((struct v4l2_capability *)argument)->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_ENUMINPUT:
        ((struct v4l2_input *)argument)->std = 0;
        return 0;
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT: {
        struct v4l2_pix_format *form = &((struct v4l2_format *)argument)->fmt.pix;
        form->width = WIDTH, form->height = HEIGHT, form->pixelformat = V4L2_PIX_FMT_GREY, form->field = V4L2_FIELD_NONE;
        form->bytesperline = WIDTH, form->sizeimage = WIDTH * HEIGHT;
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        ((struct v4l2_streamparm *)argument)->parm.capture.timeperframe = (struct v4l2_fract){1, 100};
        return 0;
    case VIDIOC_REQBUFS:
        if (owner >= 0 && owner != fd) return fail(EBUSY);
        owner = fd, frames = 0;
        ((struct v4l2_requestbuffers *)argument)->count = BUFFERS;
        memset(queued, 0, sizeof queued);
        return 0;
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = argument;
        buffer->length = PAGE, buffer->m.offset = buffer->index * PAGE;
        return 0;
    }
    case VIDIOC_QBUF:
        if (owner != fd) return fail(EBADF);
        queued[((struct v4l2_buffer *)argument)->index] = 1;
        return 0;
    case VIDIOC_STREAMON:
        streaming = 1;
        return 0;
    case VIDIOC_STREAMOFF:
        streaming = 0;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(fd, argument);
    }
    return fail(ENOTTY);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd < 0 || fd >= (int)sizeof is_ours || !is_ours[fd]) {
        int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
        return real(fd, request, argument);
    }
    pthread_mutex_lock(&lock);
    int result = answer(fd, request & 0xffffffff, argument); // FFmpeg passes it as a signed int
    pthread_mutex_unlock(&lock);
    return result;
}
