/*
 * A small pool of threads. cn_pool_run hands out the numbers 0 ... n-1 one by one, so a thread
 * that the system holds up takes fewer of them; which thread takes which makes no difference to any
 * result.
 */
#include "internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct cn_pool {
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    size_t round, busy; /* under the mutex: the job's number, threads still at it */
    bool stop;
    void (*work)(void *context, size_t i);
    void *context;
    size_t n;
    atomic_size_t next;
    size_t threads; /* besides the caller's */
    pthread_t thread[];
};

static void take_all(cn_pool *pool)
{
    size_t i;
    while ((i = atomic_fetch_add(&pool->next, 1)) < pool->n) pool->work(pool->context, i);
}

static void *thread_main(void *argument)
{
    cn_pool *pool = argument;
    size_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->round == seen && !pool->stop) pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->stop) break;
        seen = pool->round;
        pthread_mutex_unlock(&pool->mutex);
        take_all(pool);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0) pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

cn_pool *cn_pool_create(size_t threads, cn_error *err)
{
    const size_t others = threads > 1 ? threads - 1 : 0;
    cn_pool *pool = calloc(1, sizeof *pool + others * sizeof pool->thread[0]);
    if (!pool) {
        cn_fail(err, "no memory for %zu threads", threads);
        return NULL;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (; pool->threads < others; pool->threads++)
        if (pthread_create(&pool->thread[pool->threads], NULL, thread_main, pool)) {
            cn_fail(err, "the system refused thread %zu of %zu", pool->threads + 2, threads);
            cn_pool_destroy(pool);
            return NULL;
        }
    return pool;
}

void cn_pool_destroy(cn_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->threads; i++) pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->start);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

void cn_pool_run(cn_pool *pool, size_t n, void (*work)(void *context, size_t i), void *context)
{
    if (!pool->threads || n < 2) {
        for (size_t i = 0; i < n; i++) work(context, i);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->work = work;
    pool->context = context;
    pool->n = n;
    atomic_store(&pool->next, 0);
    pool->busy = pool->threads;
    pool->round++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    take_all(pool);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy) pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}
