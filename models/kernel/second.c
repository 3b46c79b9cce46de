/* A second thread, which halves the time of whoever asks about one home.
 *
 * It needs nothing of Python: it begins while the caller still holds the interpreter, and works while the caller does
 * something else there. There is one, for all callers; work that it has not begun when the caller needs it is the
 * caller's own again, so nobody ever waits for a thread that is busy or slow to wake. A fork waits until the thread has
 * done what it has begun; the child begins a thread of its own. */

#include "second.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>

#define GLANCES 400   /* at work that is nearly done, before falling asleep: waking up takes longer */
#define STACK 8388608 /* bytes: a walk through a large tree takes some of them */

enum { OFFERED, BEGUN, DONE };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t offered = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static job *next; /* what is offered */
static int busy;  /* with what was */

static void *serve(void *nothing)
{
    pthread_mutex_lock(&guard);
    for (;;) {
        while (!next) pthread_cond_wait(&offered, &guard);
        job *j = next;
        next = NULL;
        busy = 1;
        __atomic_store_n(&j->state, BEGUN, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&guard);
        j->work(j->of);
        pthread_mutex_lock(&guard);
        __atomic_store_n(&j->state, DONE, __ATOMIC_RELEASE);
        busy = 0;
        pthread_cond_broadcast(&done);
    }
    return nothing;
}

static void before_fork(void)
{
    pthread_mutex_lock(&guard);
    while (busy) pthread_cond_wait(&done, &guard);
}

static void in_parent(void) { pthread_mutex_unlock(&guard); }

static void in_child(void)
{
    static const pthread_once_t anew = PTHREAD_ONCE_INIT;
    once = anew;
    next = NULL; /* its caller finds it not begun */
    pthread_mutex_init(&guard, NULL);
    pthread_cond_init(&offered, NULL);
    pthread_cond_init(&done, NULL);
}

/* Signals are for the threads that Python knows. */
static void begin(void)
{
    static int watched; /* forks, by the parent already */
    if (!watched) pthread_atfork(before_fork, in_parent, in_child);
    watched = 1;
    pthread_t thread;
    pthread_attr_t large;
    sigset_t all, before;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, STACK);
    pthread_attr_setdetachstate(&large, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, &large, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&large);
}

void offer(job *j)
{
    pthread_once(&once, begin);
    j->state = OFFERED;
    pthread_mutex_lock(&guard);
    const int free = !next;
    if (free) next = j;
    pthread_mutex_unlock(&guard);
    if (free) pthread_cond_signal(&offered);
}

int taken(job *j)
{
    for (int i = 0; i < GLANCES && __atomic_load_n(&j->state, __ATOMIC_ACQUIRE) == BEGUN; i++) sched_yield();
    if (__atomic_load_n(&j->state, __ATOMIC_ACQUIRE) == DONE) return 1;
    pthread_mutex_lock(&guard);
    if (next == j) next = NULL;
    const int begun = j->state != OFFERED;
    while (begun && j->state != DONE) pthread_cond_wait(&done, &guard);
    pthread_mutex_unlock(&guard);
    return begun;
}
