// A stand-in for the driver of a camera (V4L2), to be preloaded: an opened file of the name $CAPTURE_DEVICE answers as a device that captures
// 64x48 gray pictures, 100 a second, whatever is asked for; the n-th has n in each pixel. With $CAPTURE_COLOR="COLORSPACE ENCODING QUANTIZATION"
// (numbers of videodev2.h) they are 64x640 in YUYV, with n in each byte; ENCODING -1: without V4L2_PIX_FMT_PRIV_MAGIC, as old drivers do.
// The first $CAPTURE_EMPTY pictures are marked as damaged. After $CAPTURE_FRAMES of them it is gone ($CAPTURE_END=unplug), or its next
// picture never comes ($CAPTURE_END=stall): as in the kernel, VIDIOC_DQBUF then waits until the stream is switched off, and only one opening
// can stream.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 64, HEIGHT = 48, TALL = 640, MEMORY = 2 * WIDTH * TALL, BUFFERS = 4 }; // MEMORY is whole pages

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char is_ours[1024];
static int owner = -1, streaming, frames;
static char queued[BUFFERS];

static int opened(int fd, const char *path) {
    const char *device = getenv("CAPTURE_DEVICE");
    if (fd >= 0 && fd < (int)sizeof is_ours && device && !strcmp(path, device)) {
        is_ours[fd] = 1;
        if (ftruncate(fd, BUFFERS * MEMORY)) return -1;
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

static void set_format(struct v4l2_pix_format *form) {
    const char *color = getenv("CAPTURE_COLOR");
    int colorspace = 0, encoding = 0, quantization = 0;
    form->width = WIDTH, form->height = color ? TALL : HEIGHT, form->field = V4L2_FIELD_NONE;
    form->pixelformat = color ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_GREY;
    form->bytesperline = color ? 2 * WIDTH : WIDTH, form->sizeimage = form->bytesperline * form->height;
    if (!color) return;
    sscanf(color, "%d %d %d", &colorspace, &encoding, &quantization);
    form->colorspace = colorspace, form->ycbcr_enc = encoding, form->quantization = quantization;
    form->priv = encoding < 0 ? 0 : V4L2_PIX_FMT_PRIV_MAGIC;
}

static int dequeue(int fd, struct v4l2_buffer *buffer) {
    const char *most = getenv("CAPTURE_FRAMES"), *end = getenv("CAPTURE_END"), *empty = getenv("CAPTURE_EMPTY");
    struct v4l2_pix_format form;
    set_format(&form);
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
            static char picture[MEMORY];
            memset(picture, ++frames, form.sizeimage);
            if (pwrite(fd, picture, form.sizeimage, i * MEMORY) != form.sizeimage) return fail(EIO);
            queued[i] = 0;
            buffer->index = i, buffer->bytesused = form.sizeimage;
            buffer->flags = empty && frames <= atoi(empty) ? V4L2_BUF_FLAG_ERROR : 0;
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
    case VIDIOC_S_FMT:
        set_format(&((struct v4l2_format *)argument)->fmt.pix);
        return 0;
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
        buffer->length = MEMORY, buffer->m.offset = buffer->index * MEMORY;
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
