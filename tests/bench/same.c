/* The engine's decisions made by a program for two cases alone: what they must cost at least.
   Scheme first_touch as posted: the same faults, victims, counters and orders of lists (same.py
   compares). A container's list is a queue: what reclaim looks at is popped and, unless freed,
   pushed. A zone's lists are the order of stamps. Both functions return how many events they did:
   all, or up to one that is not their case. */
#include <stdint.h>

enum { TOUCH_READ = 0, MAP = 4, DISCARD = 6 };   /* events */
enum { HIT = 0, OK = 1, MINOR = 3, MAJOR = 5 };  /* outcomes */
enum { CLUSTER = 32, TABLE = 9, ROOM = 8 };      /* TABLE: log2 of a page-table page's pages */

struct box {                                     /* a container and its task */
    int64_t limit, usage, peak, failcnt, mapped, minor, major;
    uint64_t first, end;                         /* its queue: the oldest, behind the newest */
};

struct held { uint32_t page, number; };          /* number: of its stamp (half) or charge (churn) */

struct machine {
    struct box *box;
    void *page;
    struct held *queue;
    uint8_t *table;
    int64_t room, blocks;                        /* of a queue, of a task's page-table pages */
    int64_t zone_active, zone_inactive, tables, counters, scanned, rmap, freed;
    uint64_t stamp, charges;
};

struct events { const uint8_t *op; const int32_t *task, *at, *count; uint8_t *outcome; };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void need_table(struct machine *m, int64_t task, int64_t v)
{
    uint8_t *there = &m->table[task * m->blocks + (v >> TABLE)];
    m->tables += !*there;
    *there = 1;
}

static void charge(struct machine *m, struct box *b)
{
    m->counters++;
    if (++b->usage > b->peak)
        b->peak = b->usage;
}

/* ---- half: one task reads one private file, its container's limit binds. One byte a page. */

enum { PRESENT = 1, YOUNG = 2, REFERENCED = 4, ACTIVE = 8 };

static uint8_t after[2][16];                     /* what a look makes of a page, by list wanted */

static inline int64_t look(struct machine *m, int64_t n, int wanted)
{
    uint8_t *page = m->page;
    uint64_t first = m->box->first, end = m->box->end, stamp = m->stamp, mask = m->room - 1;
    int64_t taken = 0, kept = 0, active = 0;
    for (int64_t i = 0; i < n; i++) {            /* no branch to mispredict */
        struct held e = m->queue[first++ & mask];
        unsigned before = page[e.page], now = after[wanted][before], stays = now & PRESENT;
        int fits = !(before & ACTIVE) == !wanted;
        page[e.page] = now;
        taken += fits;
        kept += fits & stays;
        active += fits & (now & ACTIVE) / ACTIVE;
        stamp += fits & stays;
        e.number = fits ? stamp : e.number;
        m->queue[end & mask] = e;
        end += stays;
    }
    m->box->first = first, m->box->end = end, m->stamp = stamp;
    m->zone_active += active, m->zone_inactive += kept - active;
    m->scanned += n, m->rmap += taken + taken - kept;
    m->freed += taken - kept, m->counters += taken - kept;
    m->box->usage -= taken - kept, m->box->mapped -= taken - kept;
    return taken;
}

static __attribute__((noinline)) int reclaim(struct machine *m)
{
    int64_t freed = m->freed, *usage = &m->box->usage;
    for (int priority = 12; priority >= 0; priority--) {
        int64_t quota = (*usage >> priority) + 1;
        quota = quota < CLUSTER ? 0 : quota;
        for (int64_t n = quota; n > 0; n -= CLUSTER)
            look(m, least(least(n, CLUSTER), *usage), 1);
        for (int64_t n = quota; n > 0; n -= CLUSTER)
            for (int64_t seen = 0, looked; seen < least(n, CLUSTER); seen += looked) {
                looked = least(CLUSTER, *usage);
                if (!look(m, looked, 0))
                    break;
            }
        if (m->freed - freed > 1)
            return 1;
    }
    return 0;
}

static __attribute__((noinline)) int fault(struct machine *m, uint32_t v)
{
    struct box *b = m->box;
    need_table(m, 0, v);
    struct held e = {v, ++m->stamp};
    m->zone_inactive++;
    for (; b->usage + 1 > b->limit; b->failcnt++)
        if (!reclaim(m))
            return HIT;                          /* the OOM killer's turn, which is not here */
    charge(m, b);
    ((uint8_t *)m->page)[v] = PRESENT | YOUNG | REFERENCED;
    m->queue[b->end++ & (m->room - 1)] = e;
    b->mapped++;
    b->major++;
    return MAJOR;
}

int64_t half(struct machine *m, struct events ev, int64_t start, int64_t stop)
{
    uint8_t *page = m->page;
    for (int f = 0; f < 16; f++) {
        int used = f & (YOUNG | REFERENCED), quiet = f & ~(YOUNG | REFERENCED);
        after[1][f] = f & ACTIVE ? (used ? quiet : quiet & ~ACTIVE) : f;
        after[0][f] = f & ACTIVE ? f : (used ? quiet | ACTIVE : 0);
    }
    for (int64_t i = start; i < stop; i++) {
        int plain = ev.op[i] == TOUCH_READ && ev.count[i] == 1 && ev.task[i] == 0;
        if (plain && page[ev.at[i]] & PRESENT)
            page[ev.at[i]] |= YOUNG;
        else if (!(ev.outcome[i] = plain ? fault(m, ev.at[i]) : ev.op[i] == MAP ? OK : HIT))
            return i;
    }
    return stop;
}

/* ---- churn: tasks, one a container, map and discard pages of one file. One cache line a page. */

enum { RESIDENT = 1, USED = 2, LISTED_ACTIVE = 4 };

struct page {
    uint32_t mapper[ROOM];                       /* task << 1 | young, oldest first */
    uint32_t mappers, flags, stamp, charge;      /* charge: its number, 0: none */
    int64_t payer, spare;
};

static void mark_accessed(struct machine *m, struct page *p)
{
    if ((p->flags & (USED | LISTED_ACTIVE)) == USED) {
        p->flags = RESIDENT | LISTED_ACTIVE;
        p->stamp = ++m->stamp;
        m->zone_inactive--;
        m->zone_active++;
    } else
        p->flags |= USED;
}

static inline int map(struct machine *m, struct page *p, uint32_t t, uint32_t v)
{
    struct box *b = &m->box[t];
    int first = !(p->flags & RESIDENT);
    need_table(m, t, v);
    if (first) {
        p->flags = RESIDENT;
        p->stamp = ++m->stamp;
        m->zone_inactive++;
    }
    mark_accessed(m, p);
    if (b->usage + 1 > b->limit || p->mappers == ROOM || b->end == (uint64_t)m->room)
        return HIT;                              /* reclaim, or more room: not here */
    charge(m, b);
    p->mapper[p->mappers++] = t << 1 | 1;
    b->mapped++;
    if (p->charge) {
        b->usage--;                              /* paid for already: quirk trial_charge */
        m->counters++;
    } else {                                     /* those that have ended stay in the queue, */
        p->payer = t;                            /* known by their number */
        p->charge = ++m->charges;
        m->queue[t * m->room + b->end++] = (struct held){v, p->charge};
    }
    b->major += first;
    b->minor += !first;
    return first ? MAJOR : MINOR;
}

static inline void discard(struct machine *m, struct page *p, uint32_t i)
{
    m->box[p->mapper[i] >> 1].mapped--;
    if (p->mapper[i] & 1)
        mark_accessed(m, p);
    for (p->mappers--; i < p->mappers; i++)
        p->mapper[i] = p->mapper[i + 1];
    if (p->mappers == 0) {
        m->box[p->payer].usage--;
        m->counters++;
        p->charge = 0;
    }
}

int64_t churn(struct machine *m, struct events ev, int64_t start, int64_t stop)
{
    struct page *pages = m->page;
    for (int64_t i = start; i < stop; i++) {
        if (i + 16 < stop)
            __builtin_prefetch(&pages[ev.at[i + 16]], 1);
        struct page *p = &pages[ev.at[i]];
        uint32_t t = ev.task[i], k = 0;
        while (k < p->mappers && p->mapper[k] >> 1 != t)
            k++;
        ev.outcome[i] = OK;
        if (ev.op[i] == MAP)
            continue;
        int there = k < p->mappers, op = ev.op[i];
        if (ev.count[i] == 1 && op == DISCARD && there)
            discard(m, p, k);
        else if (ev.count[i] != 1 || op != TOUCH_READ || there
                 || !(ev.outcome[i] = map(m, p, t, ev.at[i])))
            return i;                            /* in vain, too: there is no such event */
    }
    return stop;
}
