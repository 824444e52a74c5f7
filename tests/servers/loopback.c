/* Turns binding to all addresses into binding to 127.0.0.1: xrootd has no option for that.
   gcc -shared -fPIC -o loopback.so loopback.c -ldl; LD_PRELOAD=./loopback.so xrootd -I v4 ... */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>

typedef int (*bind_function)(int, const struct sockaddr *, socklen_t);

int bind(int socket, const struct sockaddr *address, socklen_t length)
{
    bind_function original = (bind_function)dlsym(RTLD_NEXT, "bind");
    struct sockaddr_in local;
    if (address->sa_family != AF_INET || length < sizeof local)
        return original(socket, address, length);
    memcpy(&local, address, sizeof local);
    if (local.sin_addr.s_addr == htonl(INADDR_ANY))
        local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return original(socket, (const struct sockaddr *)&local, sizeof local);
}
