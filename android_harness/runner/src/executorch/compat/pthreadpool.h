// The wheel's threadpool.h includes this header, which the wheel leaves out: what it names of it.
#pragma once

extern "C" {
struct pthreadpool;
typedef struct pthreadpool * pthreadpool_t;
void pthreadpool_destroy(pthreadpool_t pool);
}
