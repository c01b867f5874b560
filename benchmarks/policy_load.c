/* The load and the limit for policy.py: a client that asks as many smtpd processes do, and the least server in C.
 *
 *   policy_load client UNIX-SOCKET CONNECTIONS SECONDS     prints: questions answered, seconds, p50 and p99 in us
 *   policy_load server UNIX-SOCKET                         answers DUNNO to whatever ends with an empty line
 *
 * Each connection asks, waits for the answer, and asks again, as Postfix does. Peers and queue ids vary.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096
#define SAMPLES 4000000
static const char ANSWER[] = "action=DUNNO\n\n";
static const char ASK[] =
    "request=smtpd_access_policy\nprotocol_state=DATA\nprotocol_name=ESMTP\nclient_address=10.%u.%u.%u\n"
    "client_name=mx%u.example.net\nclient_port=%u\nreverse_client_name=mx.example.net\nserver_address=192.0.2.1\n"
    "server_port=25\nhelo_name=mx.example.net\nsender=a%u@example.net\nrecipient=b@example.org\nrecipient_count=1\n"
    "queue_id=4X%08xz\ninstance=1a2b.65f00000.%x.0\nsize=2000\netrn_domain=\nstress=\nsasl_method=\nsasl_username=\n"
    "sasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
    "encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n"
    "policy_context=mailtls-strict\n\n";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int unix_socket(const char *path, struct sockaddr_un *address) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || strlen(path) >= sizeof address->sun_path) die("socket");
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, path);
    return fd;
}

static unsigned number;
static void ask(int fd) {
    char text[2048];
    unsigned peer = number % 20000;
    int length = snprintf(text, sizeof text, ASK, peer >> 16 & 255, peer >> 8 & 255, peer & 255, peer,
                          1024 + number % 60000, number % 1000, number, number);
    number++;
    if (write(fd, text, length) != length) die("write");
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int client(const char *path, int connections, double seconds) {
    static double asked[MOST];
    static int of[MOST], got[MOST];
    static char last[MOST];
    float *took = malloc(SAMPLES * sizeof *took);
    long answered = 0, kept = 0;
    int poll = epoll_create1(0);
    struct sockaddr_un address;
    if (connections > MOST - 16) exit(1);
    double began = now(), end = began + seconds;
    for (int i = 0; i < connections; i++) {
        int fd = unix_socket(path, &address);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
        struct epoll_event event = {EPOLLIN, {.u32 = i}};
        of[i] = fd;
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        asked[i] = now();
        ask(fd);
    }
    struct epoll_event events[256];
    char buffer[4096];
    while (now() < end) {
        int count = epoll_wait(poll, events, 256, 1000);
        for (int e = 0; e < count; e++) {
            int i = events[e].data.u32;
            ssize_t length = read(of[i], buffer, sizeof buffer);
            if (length <= 0) die("the server closed");
            int whole = length >= 2 ? !memcmp(buffer + length - 2, "\n\n", 2) : last[i] == '\n' && buffer[0] == '\n';
            last[i] = buffer[length - 1];
            got[i] += length;
            if (!whole) continue;
            double at = now();
            if (kept < SAMPLES) took[kept++] = (at - asked[i]) * 1e6;
            answered++;
            asked[i] = at;
            ask(of[i]);
        }
    }
    double taken = now() - began;
    qsort(took, kept, sizeof *took, ascending);
    printf("%ld %.3f %.1f %.1f\n", answered, taken, took[kept / 2], took[kept * 99 / 100]);
    return 0;
}

static void server(const char *path) {
    struct sockaddr_un address;
    int listening = unix_socket(path, &address), poll = epoll_create1(0);
    unlink(path);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0 || listen(listening, 512) < 0) die("bind");
    struct epoll_event event = {EPOLLIN, {.fd = listening}}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event);
    char buffer[16384];
    for (;;) { /* until it is killed */
        int count = epoll_wait(poll, events, 256, -1);
        for (int e = 0; e < count; e++) {
            int fd = events[e].data.fd;
            if (fd == listening) {
                event.data.fd = accept(listening, NULL, NULL);
                epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t length = read(fd, buffer, sizeof buffer);
            if (length <= 0) close(fd);
            else if (length >= 2 && !memcmp(buffer + length - 2, "\n\n", 2) &&
                     write(fd, ANSWER, sizeof ANSWER - 1) < 0) close(fd);
        }
    }
}

int main(int count, char **words) {
    if (count == 5 && !strcmp(words[1], "client")) return client(words[2], atoi(words[3]), atof(words[4]));
    if (count == 3 && !strcmp(words[1], "server")) server(words[2]);
    fprintf(stderr, "usage: policy_load client SOCKET CONNECTIONS SECONDS | server SOCKET\n");
    return 2;
}
