// The system's headers, found wherever the compiler looks for them, and what of them Swift cannot see: macros.
#ifndef CLEARWAY_COPENSSL_H
#define CLEARWAY_COPENSSL_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const uint64_t co_no_renegotiation = SSL_OP_NO_RENEGOTIATION, co_enable_ktls = SSL_OP_ENABLE_KTLS;

static inline uint64_t co_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
static inline int co_set_minimum_version(SSL_CTX *context, int version) { return (int)SSL_CTX_set_min_proto_version(context, version); }
static inline void co_set_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    // Else a read does not return for as long as messages come that are not data.
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
}
// Marks a connection whose server asks for new keys, which OpenSSL changes and the kernel does not.
static void co_watch_message(int sent, int version, int type, const void *bytes, size_t count, SSL *ssl, void *unused) {
    (void)version, (void)unused;
    if (!sent && type == SSL3_RT_HANDSHAKE && count > 0 && *(const unsigned char *)bytes == SSL3_MT_KEY_UPDATE)
        SSL_set_app_data(ssl, ssl);
}
static inline void co_watch_messages(SSL_CTX *context) { SSL_CTX_set_msg_callback(context, co_watch_message); }
static inline int co_has_new_keys(const SSL *ssl) { return SSL_get_app_data(ssl) != NULL; }
static inline void co_read_ahead(SSL_CTX *context) { SSL_CTX_set_read_ahead(context, 1); }
static inline void co_cache_sessions_outside(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
}
static inline void co_set_owner(SSL_CTX *context, void *owner) { SSL_CTX_set_app_data(context, owner); }
static inline void *co_owner(const SSL_CTX *context) { return SSL_CTX_get_app_data(context); }
static inline int co_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
static inline int co_sends_by_kernel(const SSL *ssl) { return BIO_get_ktls_send(SSL_get_wbio(ssl)); }
static inline int co_receives_by_kernel(const SSL *ssl) { return BIO_get_ktls_recv(SSL_get_rbio(ssl)); }
static inline int co_is_end_of_pem(unsigned long error) {
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}
static inline int co_is_end_without_notice(unsigned long error) {
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}
// Bytes that have come from the socket, whatever they were.
static inline uint64_t co_bytes_read(const SSL *ssl) { return BIO_number_read(SSL_get_rbio(ssl)); }
// What a call came to that did not do what it should: 0: the server has ended the connection in order; -EAGAIN: wait for the socket;
// else how it failed, -EPROTO with the reason in OpenSSL's queue. An end that nobody announced is a reset.
static inline int co_failure(SSL *ssl, int result) {
    int number = errno;
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return number != 0 ? -number : -ECONNRESET;
    default:
        return co_is_end_without_notice(ERR_peek_last_error()) ? -ECONNRESET : -EPROTO;
    }
}
static inline void co_begin(void) {
    // What an earlier call on this thread left behind would be taken for this one's.
    ERR_clear_error();
    errno = 0;
}
// 1: done; else as `co_failure`.
static inline int co_shake_hands(SSL *ssl) {
    co_begin();
    int result = SSL_connect(ssl);
    return result == 1 ? 1 : co_failure(ssl, result);
}
// Bytes; else as `co_failure`.
static inline ssize_t co_read(SSL *ssl, void *bytes, size_t count) {
    size_t length = 0;
    co_begin();
    int result = SSL_read_ex(ssl, bytes, count, &length);
    return result == 1 ? (ssize_t)length : co_failure(ssl, result);
}
// To the socket itself, past OpenSSL.
static inline ssize_t co_send(const SSL *ssl, const void *bytes, size_t count) {
    ssize_t sent = send(SSL_get_wfd(ssl), bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}
static inline ssize_t co_write(SSL *ssl, const void *bytes, size_t count) {
    size_t length = 0;
    co_begin();
    int result = SSL_write_ex(ssl, bytes, count, &length);
    return result == 1 ? (ssize_t)length : co_failure(ssl, result);
}
// Whether it must be called again when the socket takes more.
static inline int co_finish(SSL *ssl) {
    co_begin();
    int result = SSL_shutdown(ssl);
    return result < 0 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_WRITE;
}
// ---- TLS through TLS -------------------------------------------------------------------------------------------

// OpenSSL's own BIO for this (BIO_f_ssl) hands on to the socket whatever it does not know: with an outer connection that the kernel
// encrypts, the inner one would take itself for encrypted as well, and write what it has in clear. And it ends the outer one when
// the inner one is freed.
static int co_nested_result(BIO *bio, SSL *outer, int result) {
    BIO_clear_retry_flags(bio);
    if (result == 1)
        return 1;
    switch (SSL_get_error(outer, result)) {
    case SSL_ERROR_WANT_READ:
        BIO_set_retry_read(bio);
        break;
    case SSL_ERROR_WANT_WRITE:
        BIO_set_retry_write(bio);
        break;
    }
    return 0;
}
static int co_nested_read(BIO *bio, char *bytes, size_t count, size_t *length) {
    SSL *outer = (SSL *)BIO_get_data(bio);
    return co_nested_result(bio, outer, SSL_read_ex(outer, bytes, count, length));
}
static int co_nested_write(BIO *bio, const char *bytes, size_t count, size_t *length) {
    SSL *outer = (SSL *)BIO_get_data(bio);
    return co_nested_result(bio, outer, SSL_write_ex(outer, bytes, count, length));
}
static long co_nested_control(BIO *bio, int command, long number, void *pointer) {
    (void)number, (void)pointer;
    if (command == BIO_CTRL_EOF)
        return (SSL_get_shutdown((SSL *)BIO_get_data(bio)) & SSL_RECEIVED_SHUTDOWN) != 0;
    // What is written is with the outer connection at once.
    return command == BIO_CTRL_FLUSH;
}
// What `co_nest` needs; one for the whole program. NULL: no memory.
static inline BIO_METHOD *co_nested_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "TLS");
    if (method != NULL) {
        BIO_meth_set_read_ex(method, co_nested_read);
        BIO_meth_set_write_ex(method, co_nested_write);
        BIO_meth_set_ctrl(method, co_nested_control);
    }
    return method;
}
// Lets `inner` speak through `outer`, which stays its owner's and must live as long.
static inline int co_nest(const BIO_METHOD *method, SSL *inner, SSL *outer) {
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    if (bio == NULL)
        return 0;
    BIO_set_data(bio, outer);
    BIO_set_init(bio, 1);
    SSL_set_bio(inner, bio, bio);
    return 1;
}
// Whether the kernel can encrypt TCP. To be asked once: where it cannot, each time it looks for a module that could.
static inline int co_kernel_has_tls(void) {
    int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0)
        return 0;
    // Only a connection can be given it: any other error than "no such thing" means that it is there.
    int has = setsockopt(socket_, IPPROTO_TCP, 31 /* TCP_ULP */, "tls", sizeof "tls") == 0 || errno != ENOENT;
    close(socket_);
    return has;
}

#endif
