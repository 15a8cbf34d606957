/* Threads that go through a pass together, stage by stage. They sleep between passes. */
#pragma once
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS = 4000 }; /* some microseconds: what a stage's last tile takes. Then other programs get the core. */

typedef struct Team Team;
typedef void (*Work)(Team *team, int thread, void *of);

struct Team {
    int size;
    Work work;
    void *of;
    pthread_mutex_t lock;
    pthread_cond_t called;
    long calls;              /* under the lock */
    atomic_int arrived;
    atomic_int round;
    atomic_int *taken;       /* how much of each stage has been taken, by the stage's number in the pass */
    int stages;
};

typedef struct { Team *team; int thread; } Member;

static inline void wait_a_moment(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void together(Team *team) {
    int round = atomic_load_explicit(&team->round, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == team->size - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->round, round + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&team->round, memory_order_acquire) == round; spins++) {
        if (spins < SPINS) wait_a_moment(); else sched_yield();
    }
}

/* The next `most` pieces of a stage that has `all`: returns the first one, or `all` when nothing is left. */
static inline int take(Team *team, int stage, int most, int all) {
    int first = atomic_fetch_add_explicit(&team->taken[stage], most, memory_order_relaxed);
    return first < all ? first : all;
}

static void *serve(void *of) {
    Member member = *(Member *)of;
    free(of);
    Team *team = member.team;
    long seen = 0;
    for (;;) {
        pthread_mutex_lock(&team->lock);
        while (team->calls == seen) pthread_cond_wait(&team->called, &team->lock);
        seen = team->calls;
        pthread_mutex_unlock(&team->lock);
        team->work(team, member.thread, team->of);
        together(team);
    }
    return NULL;
}

/* For the life of the process. NULL where the threads cannot be had. */
static Team *assemble(int size) {
    Team *team = calloc(1, sizeof *team);
    if (!team) return NULL;
    team->size = size;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->called, NULL);
    for (int thread = 1; thread < size; thread++) {
        Member *member = malloc(sizeof *member);
        pthread_t id;
        if (!member) return NULL;
        *member = (Member){team, thread};
        if (pthread_create(&id, NULL, serve, member)) return NULL;
        pthread_detach(id);
    }
    return team;
}

/* Have all do `work`, the caller too; returns when the last one is done. Non-zero for want of memory. */
static int call(Team *team, Work work, void *of, int stages) {
    if (stages > team->stages) {
        atomic_int *larger = realloc(team->taken, sizeof(atomic_int) * (size_t)stages);
        if (!larger) return 1;
        team->taken = larger;
        team->stages = stages;
    }
    for (int stage = 0; stage < stages; stage++) atomic_init(&team->taken[stage], 0);
    pthread_mutex_lock(&team->lock);
    team->work = work;
    team->of = of;
    team->calls++;
    pthread_cond_broadcast(&team->called);
    pthread_mutex_unlock(&team->lock);
    work(team, 0, of);
    together(team);
    return 0;
}
