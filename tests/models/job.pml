/* The life of one pipeline's jobs, as the actors agree on it in messages: two clients that race, the pipeline tracker (work.c), the
 * signature checker folded into it, the job supervisor (job_supervisor.c, job_run.c, job_task.c, job_sweep.c), the limiter (limiter.c) and
 * the recorder (recorder.c, recorder_finish.c) with the sources that feed it. Tests play some orders; this plays all of them, with each
 * actor failing at each point (what it knew is lost; what it was asked and has not answered is handed over again: runtime/actor.c,
 * exchange.h) and with the process dying at each point. Handlers, states and fields bear the names that they have in the code.
 *
 * A handler is one atomic step; what it sends to two actors leaves in two. A recording has the number of its job. Timers may ring at any
 * moment, so no time is modelled. A source set is one number: another number is an altered set. MUTANT_…: a line that is wrong (run). */

#ifndef OPS0
#define OPS0 2 /* requests of the first client; its first one runs the pipeline */
#endif
#ifndef OPS1
#define OPS1 1
#endif
#ifndef FAILS
#define FAILS 0 /* of all actors together */
#endif
#ifndef CRASHES
#define CRASHES 0 /* of the whole process */
#endif
#ifndef KEEP
#define KEEP 0 /* option keep_recordings */
#endif
#ifndef DISK
#define DISK 0 /* how often the disk refuses a closing record */
#endif

#ifndef TIMERS
#define TIMERS 1 /* those who wait may be answered before it is over */
#endif
#ifndef SOURCES_FAIL
#define SOURCES_FAIL 1
#endif
#ifndef SPARE
#define SPARE 0 /* numbers for jobs that were lost before they had a recording */
#endif

#define CLIENTS 2
#define JOBS (OPS0 + OPS1 + SPARE)
#define TICKETS (CLIENTS + 1 + FAILS + CRASHES) /* at the job supervisor: one a client, one for each life of the tracker */
#define NOBODY 15

/* what clients ask */
mtype = { RUN, CHANGED, FORGET, CANCEL, CLEAR, WAIT };
/* what actors ask and tell */
mtype = { ENSURE, INVALIDATE, RESOLVE, START, STOP, SPENT, RECOVERED, LIMIT, CREATE, BUDGET, FINISH, DROP, MARK, JOBS_ASK, JOINED,
          SOURCE_ENDED, SOURCE_FAILED, ANSWER };
/* answers */
mtype = { NONE, OK, STARTED, STANDS, RESTORED, REFUSED, UNAVAILABLE, LOST };
/* states of a job, and why it ended */
mtype = { STARTING, RUNNING, CANCELLING, CANCELLED, DONE, FAILED };
mtype = { BY_USER, BY_ANOTHER, BY_LIMIT, BY_SOURCES, BY_ERROR };
/* who waits for what of a job */
mtype = { WAIT_START, WAIT_END, WAIT_CANCEL };

#define is_terminal(s) (s == CANCELLED || s == DONE || s == FAILED)

/* ---- what the disk keeps ---- */

typedef manifest_t {
    bool exists;
    mtype state, reason; /* reason: NONE until it has ended */
    bool started;        /* it had a budget */
    bool invalid;        /* recording.mark */
    bool closed;         /* the log has its closing record */
    bool ended;          /* the log says that its sources ended */
    bool spent;          /* the log has all that its limits allow */
}
manifest_t disk[JOBS];

typedef document_t { /* the catalog's, of a job that has ended */
    bool exists;
    mtype state, reason;
}
document_t catalog[JOBS];

typedef signature_t { /* the catalog's: what the pipeline's recording is made of */
    byte set;         /* 0: nothing is known */
    bool pending;
    byte job;
    byte request, before;
    bool was_pending;
}
signature_t recorded; /* recorded.job counts only with `set` */

/* ---- what never changes: a job's number is used once ---- */

byte jobs_made;
byte made_of[JOBS], made_by[JOBS]; /* its sources; the request that started it */

/* ---- what is asserted about the past ---- */

mtype final_state[JOBS], final_reason[JOBS];
bool limit_hit[JOBS], created[JOBS];

/* ---- mail ---- */

chan supervisor_mail = [8] of { mtype, mtype, byte, byte, mtype, mtype }; /* what, answer to what, life or ticket, job, state, reason */
chan limiter_mail = [8] of { mtype, mtype, byte, byte, mtype };           /* what, answer to what, life, job or ticket, answer */
chan recorder_mail = [8] of { mtype, bool, byte, byte, mtype, mtype };    /* what, from the limiter, life, job, state or flag, reason */
chan tracker_mail = [4] of { byte, mtype, byte };                         /* life, answer, job */
chan tracker_works = [CLIENTS] of { byte };                               /* clients, in the order in which they asked */

byte fails = FAILS, crashes = CRASHES, disk_faults = DISK;

/* ---- clients ---- */

mtype op[CLIENTS], answer[CLIENTS];
byte op_set[CLIENTS], op_number[CLIENTS];

#define request_of(c) (1 + 4 * c + op_number[c])

/* ---- the job supervisor: the runtime's part ---- */

typedef request_t {
    mtype op; /* 0: none is open */
    byte set, request;
    bool changed;
    bool again; /* an earlier state was given it */
}
request_t asked[TICKETS];
chan open_requests = [TICKETS] of { byte }; /* tickets, the oldest first */
chan redelivered = [TICKETS] of { byte };
byte supervisor_life;
bool supervisor_ready = true;

/* ---- the job supervisor: its state ---- */

typedef job_t {
    bool known, has_recording, invalid, joined, ended, starting_clock, finishing, has_request;
    mtype state, target, reason;
}
job_t job[JOBS];

typedef waiter_t {
    mtype kind; /* 0: it does not wait */
    byte job;
    bool started;
}
waiter_t waiter[TICKETS];

typedef task_t {
    bool begun, waits_for_end, decided, needed, swept;
    byte restores, sweep; /* a set of jobs */
    byte retired;
}
task_t task[TICKETS];
chan tasks = [TICKETS] of { byte };
byte finishes; /* a set of jobs: `recording.finish` is on its way */

/* what the recorder answered to `recording.jobs` */
typedef report_t {
    bool exists, started, invalid, joined, ended, spent;
    mtype state, reason, ending;
}
report_t report[JOBS];

bool child[JOBS]; /* the supervisor's: a source that runs */

/* ---- the limiter ---- */

typedef limited_t {
    bool exists, reached;
    byte starter; /* the life that asked, from 1; 0: nobody waits */
}
limited_t limited[JOBS];
byte limiter_life;
bool limiter_ready = true;
byte start_asked[JOBS]; /* the runtime's: `limits.start` has no answer yet; the life that asked, from 1 */
bool limiter_report[JOBS], limiter_spent[JOBS];

/* ---- the recorder ---- */

typedef recording_t {
    bool open, joined, told_spent;
    mtype ending, ending_reason; /* finish_t; its request has no answer yet, and so outlives a failure */
    byte ending_life;            /* who asked, from 1 */
}
recording_t recording[JOBS];

/* ---- the tracker ---- */

byte tracker_life, working_for = NOBODY;
mtype tracker_asked; /* what the job supervisor was asked; 0: nothing */
bool settled;

/* ---- sending ---- */

#define bit_of(j) (1 << (j))
#define has_room(c, n) assert(len(c) <= n)

inline to_supervisor(m_what, m_to, m_who, m_job, m_state, m_reason) {
    has_room(supervisor_mail, 7);
    supervisor_mail!m_what, m_to, m_who, m_job, m_state, m_reason
}
inline to_limiter(m_what, m_to, m_who, m_job, m_code) {
    has_room(limiter_mail, 7);
    limiter_mail!m_what, m_to, m_who, m_job, m_code
}
inline to_recorder(m_what, m_limits, m_who, m_job, m_state, m_reason) {
    has_room(recorder_mail, 7);
    recorder_mail!m_what, m_limits, m_who, m_job, m_state, m_reason
}

/* An answer to a life that is over has no effect, and is not sent. */
inline answer_supervisor(a_to, a_life, a_job, a_state, a_reason) {
    if
    :: a_life == supervisor_life -> to_supervisor(ANSWER, a_to, a_life, a_job, a_state, a_reason)
    :: else
    fi
}

/* actor_answer of the job supervisor: each request once. */
inline answer_request(a_ticket, a_code, a_job) {
    assert(asked[a_ticket].op != 0);
    asked[a_ticket].op = 0;
    asked[a_ticket].set = 0;
    asked[a_ticket].request = 0;
    asked[a_ticket].changed = false;
    asked[a_ticket].again = false;
    open_requests??eval(a_ticket);
    if
    :: a_ticket < CLIENTS -> assert(answer[a_ticket] == 0); answer[a_ticket] = a_code
    :: a_ticket == CLIENTS + tracker_life -> tracker_mail!a_ticket - CLIENTS, a_code, a_job
    :: else /* of an earlier life of the tracker, which has forgotten that it asked */
    fi
}

/* ---- jobs (job.c) ---- */

#define is_active(j) (job[j].known && !is_terminal(job[j].state))
#define by_limit(state, reason) ((state == CANCELLED || state == CANCELLING) && reason == BY_LIMIT)
#define is_done(j) (job[j].state == DONE || by_limit(job[j].state, job[j].reason))
#define is_valid(j) (job[j].has_recording && !job[j].invalid)

byte i, last, alive, current; /* scratch, within one step of the job supervisor; 0 between two */

inline find_jobs() {
    last = NOBODY;
    alive = NOBODY;
    current = NOBODY;
    for (i : 0 .. JOBS - 1) {
        if
        :: job[i].known ->
            last = i;
            if
            :: is_valid(i) -> current = i
            :: else
            fi;
            if
            :: is_active(i) -> alive = i
            :: else
            fi
        :: else
        fi
    }
    if
    :: current == NOBODY -> current = last
    :: else
    fi
    if
    :: last != NOBODY && is_active(last) -> alive = last
    :: else
    fi
}

/* A terminal state is final, whoever tells it, and a cancelled job counts as done only if a limit was reached. */
inline note_final(j, state_, reason_) {
    if
    :: final_state[j] == 0 -> final_state[j] = state_; final_reason[j] = reason_
    :: else -> assert(final_state[j] == state_ && final_reason[j] == reason_)
    fi;
    assert(!by_limit(state_, reason_) || limit_hit[j])
}

inline forget_finding() {
    last = 0;
    alive = 0;
    current = 0;
    i = 0
}

/* ---- job_run.c ---- */

inline answer_waiter(t) {
    if
    :: waiter[t].kind == WAIT_START && waiter[t].started -> answer_request(t, STARTED, waiter[t].job)
    :: waiter[t].kind == WAIT_START && !waiter[t].started -> answer_request(t, STANDS, waiter[t].job)
    :: else -> answer_request(t, OK, waiter[t].job)
    fi;
    waiter[t].kind = 0;
    waiter[t].job = 0;
    waiter[t].started = false
}

inline answer_waiters(j) {
    for (w : 0 .. TICKETS - 1) {
        if
        :: waiter[w].kind != 0 && waiter[w].job == j &&
           (!is_active(j) || (waiter[w].kind == WAIT_START && job[j].state != STARTING)) ->
#ifdef MUTANT_DROP_WAITER
            if
            :: job[j].state == FAILED
            :: else -> answer_waiter(w)
            fi;
#else
            answer_waiter(w)
#endif
        :: else
        fi
    }
    w = 0
}

inline add_waiter(t, j, what, has_started) {
    waiter[t].kind = what;
    waiter[t].job = j;
    waiter[t].started = has_started;
    answer_waiters(j)
}

inline job_finish(j, state_, reason_) {
    if
    :: job[j].finishing || !is_active(j)
    :: else ->
        job[j].finishing = true;
        job[j].target = state_;
        job[j].reason = reason_;
        if
        :: state_ == CANCELLED -> job[j].state = CANCELLING
        :: else
        fi;
#ifdef MUTANT_STOP_EARLY
        to_limiter(STOP, 0, 0, j, NONE);
#endif
        finishes = finishes | bit_of(j)
    fi
}

inline start_clock(j) {
    if
    :: !job[j].starting_clock && !job[j].finishing && job[j].state == STARTING && job[j].joined ->
        job[j].starting_clock = true;
        to_limiter(START, 0, supervisor_life, j, NONE)
    :: else
    fi
}

inline job_source_ended(j) {
    if
    :: is_active(j) -> job[j].ended = true; job_finish(j, DONE, BY_SOURCES)
    :: else
    fi
}

inline job_begin(t) {
    assert(jobs_made < JOBS);
    made_of[jobs_made] = asked[t].set;
    made_by[jobs_made] = asked[t].request;
    job[jobs_made].known = true;
    job[jobs_made].state = STARTING;
    job[jobs_made].has_recording = true;
    job[jobs_made].has_request = true;
    to_recorder(CREATE, false, supervisor_life, jobs_made, NONE, NONE);
    add_waiter(t, jobs_made, WAIT_START, true);
    jobs_made++
}

/* Where the disk did not take the end, the recorder says FAILED. */
inline on_finished(j, code, reason_) {
    if
    :: !job[j].known || !job[j].finishing
    :: else ->
        if
        :: code == UNAVAILABLE -> finishes = finishes | bit_of(j)
        :: else ->
            if
            :: code == REFUSED -> job[j].target = FAILED; job[j].reason = BY_ERROR
#ifndef MUTANT_OWN_END
            :: code == FAILED -> job[j].target = FAILED; job[j].reason = reason_
#endif
            :: else -> job[j].has_recording = true
            fi;
            child[j] = false;
#ifndef MUTANT_STOP_EARLY
            to_limiter(STOP, 0, 0, j, NONE);
#endif
            job[j].finishing = false;
            job[j].state = job[j].target;
            job[j].target = 0;
            job[j].joined = false;
            job[j].ended = false;
            job[j].starting_clock = false;
            catalog[j].exists = true;
            catalog[j].state = job[j].state;
            catalog[j].reason = job[j].reason;
            note_final(j, job[j].state, job[j].reason);
            answer_waiters(j)
        fi
    fi
}

/* ---- job_task.c, job_sweep.c ---- */

inline task_end(t) {
    tasks??eval(t);
    task[t].begun = false;
    task[t].waits_for_end = false;
    task[t].decided = false;
    task[t].needed = false;
    task[t].swept = false;
    task[t].restores = 0;
    task[t].sweep = 0;
    task[t].retired = 0
}

inline end_task_with(t, code, j) {
    answer_request(t, code, j);
    task_end(t)
}

/* The next of the list: those that were valid last come first, and as many complete ones stay as `keep_recordings` says. */
inline sweep_next(t) {
    find_jobs();
    i = JOBS;
    do
    :: i > 0 && !(task[t].sweep & bit_of(i - 1)) -> i--
    :: else -> break
    od;
    if
    :: current != NOBODY && (task[t].sweep & bit_of(current)) -> i = current + 1
    :: else
    fi;
    i--;
    if
    :: (asked[t].op == ENSURE || asked[t].op == INVALIDATE) && is_done(i) && task[t].retired < KEEP ->
        task[t].retired++;
        to_recorder(MARK, false, supervisor_life, i + 16 * t, OK, NONE)
    :: else -> to_recorder(DROP, false, supervisor_life, i + 16 * t, NONE, NONE)
    fi
}

/* Sets `i` to 1 when it is done. */
inline end_and_sweep(t) {
    find_jobs();
    if
    :: alive != NOBODY ->
        task[t].waits_for_end = true;
        job_finish(alive, CANCELLED, BY_ANOTHER);
        i = 0
    :: else ->
        if
        :: !task[t].swept ->
            task[t].swept = true;
            for (i : 0 .. JOBS - 1) {
                if
                :: job[i].known && job[i].has_recording && task[t].restores != i + 1 -> task[t].sweep = task[t].sweep | bit_of(i)
                :: else
                fi
            }
        :: else
        fi;
        if
        :: task[t].sweep != 0 -> sweep_next(t); i = 0
        :: else -> i = 1
        fi
    fi
}

/* jobs_complete_of, as task[t].restores: the newest; the one that is valid first. */
inline find_complete(t) {
    for (i : 0 .. JOBS - 1) {
        if
        :: job[i].known && job[i].has_recording && is_terminal(job[i].state) && is_done(i) && made_of[i] == asked[t].set &&
           (task[t].restores == 0 || !job[i].invalid || job[task[t].restores - 1].invalid) ->
            task[t].restores = i + 1
        :: else
        fi
    }
}

/* What is called valid is there, is what was asked for, and is not marked. */
inline check_valid(t, j) {
    assert(made_of[j] == asked[t].set);
    assert(disk[j].exists || job[j].state == STARTING);
    assert(!disk[j].invalid && disk[j].state != FAILED);
    assert(!is_terminal(job[j].state) || disk[j].state == DONE || by_limit(disk[j].state, disk[j].reason))
}

inline sweep_restore(t) {
    if
    :: job[task[t].restores - 1].invalid ->
        to_recorder(MARK, false, supervisor_life, task[t].restores - 1 + 16 * t, NONE, NONE)
    :: else ->
        check_valid(t, task[t].restores - 1);
        end_task_with(t, RESTORED, task[t].restores - 1)
    fi
}

inline decide(t) {
    task[t].decided = true;
    fits = (current != NOBODY && is_valid(current) && made_of[current] == asked[t].set);
    serves = (fits && (is_active(current) || is_done(current)));
    if
    :: serves || !(asked[t].changed || (current != NOBODY && job[current].has_recording && !fits))
    :: else -> find_complete(t)
    fi;
    task[t].needed = (!serves && task[t].restores == 0);
    fits = false;
    serves = false
}

/* Made by this request before a failure: `w`; JOBS: none was. */
inline find_started(t) {
    w = 0;
    do
    :: w < JOBS && !(job[w].known && job[w].has_request && made_by[w] == asked[t].request) -> w++
    :: else -> break
    od
}

inline ensure(t) {
    find_jobs();
    find_started(t);
    if
    :: !task[t].decided && w < JOBS -> /* was_started */
        last = w;
        add_waiter(t, last, WAIT_START, true);
        task_end(t)
    :: !task[t].decided && w == JOBS && alive != NOBODY && job[alive].finishing -> task[t].waits_for_end = true
    :: else ->
        w = 0;
        if
        :: !task[t].decided -> decide(t)
        :: else
        fi;
        if
        :: task[t].needed || task[t].restores != 0 ->
            end_and_sweep(t);
            if
            :: i == 0
            :: i == 1 && task[t].restores != 0 -> sweep_restore(t)
            :: else -> to_limiter(RESOLVE, 0, supervisor_life, 16 * t, NONE)
            fi
        :: else -> /* answer_not_started */
            check_valid(t, current);
            if
            :: job[current].state == STARTING ->
                last = current;
                add_waiter(t, last, WAIT_START, false);
                task_end(t)
            :: job[current].state != STARTING && asked[t].changed -> end_task_with(t, RESTORED, current)
            :: else -> end_task_with(t, STANDS, current)
            fi
        fi
    fi;
    w = 0
}

inline invalidate(t) {
    find_jobs();
    fits = (current != NOBODY && is_valid(current) && made_of[current] == asked[t].set && (alive != NOBODY || is_done(current)));
    if
    :: !task[t].decided && alive != NOBODY && job[alive].finishing -> task[t].waits_for_end = true
    :: !task[t].decided && !(alive != NOBODY && job[alive].finishing) && fits -> end_task_with(t, RESTORED, current)
    :: else ->
        if
        :: !task[t].decided -> task[t].decided = true; find_complete(t)
        :: else
        fi;
        end_and_sweep(t);
        if
        :: i == 0
        :: i == 1 && task[t].restores != 0 -> sweep_restore(t)
        :: else -> end_task_with(t, OK, NOBODY)
        fi
    fi;
    fits = false
}

inline forget(t) {
    end_and_sweep(t);
    if
    :: i == 0
    :: else ->
        for (i : 0 .. JOBS - 1) {
            job[i].known = false;
            job[i].has_recording = false;
            job[i].invalid = false;
            job[i].has_request = false;
            job[i].state = 0;
            job[i].reason = 0;
            catalog[i].exists = false;
            catalog[i].state = 0;
            catalog[i].reason = 0;
            assert(!disk[i].exists && !child[i])
        }
        i = 0;
        end_task_with(t, OK, NOBODY)
    fi
}

inline clear(t) {
    find_jobs();
    if
    :: !task[t].swept && alive != NOBODY -> end_task_with(t, REFUSED, NOBODY)
    :: else ->
        end_and_sweep(t);
        if
        :: i == 0
        :: else -> end_task_with(t, OK, NOBODY)
        fi
    fi
}

inline proceed(t) {
    if
    :: asked[t].op == ENSURE -> ensure(t)
    :: asked[t].op == INVALIDATE -> invalidate(t)
    :: asked[t].op == FORGET -> forget(t)
    :: asked[t].op == CLEAR -> clear(t)
    fi
}

/* A task that can go, in `next`; TICKETS: none. */
inline task_that_can_go() {
    next = TICKETS;
    if
    :: nempty(tasks) ->
        find_jobs();
        tasks?<next>;
        if
        :: (task[next].waits_for_end && alive == NOBODY) || !task[next].begun
        :: else -> next = TICKETS
        fi;
#ifdef MUTANT_NO_QUEUE
        for (w : 0 .. TICKETS - 1) {
            if
            :: tasks??[eval(w)] && !task[w].begun -> next = w
            :: else
            fi
        }
        w = 0;
#endif
    :: empty(tasks)
    fi
}

inline tasks_run() {
    do
    :: true ->
        task_that_can_go();
        if
        :: next == TICKETS -> break
        :: else ->
            task[next].begun = true;
            task[next].waits_for_end = false;
            proceed(next)
        fi
    od;
    next = 0;
    forget_finding()
}

/* ---- job_supervisor.c ---- */

inline on_cancel(t) {
    find_jobs();
    if
    :: current == NOBODY -> answer_request(t, OK, NOBODY)
    :: else ->
        if
        :: is_active(current) && (!job[current].finishing || (asked[t].again && job[current].reason == BY_USER)) ->
            waiter[t].kind = WAIT_CANCEL;
            waiter[t].job = current;
            job_finish(current, CANCELLED, BY_USER)
        :: else -> answer_request(t, OK, NOBODY)
        fi
    fi
}

inline on_wait(t) {
    find_jobs();
    if
    :: current == NOBODY -> answer_request(t, REFUSED, NOBODY)
    :: else -> last = current; add_waiter(t, last, WAIT_END, false)
    fi
}

inline on_request(t) {
    open_requests!t;
    if
    :: asked[t].op == CANCEL -> on_cancel(t)
    :: asked[t].op == WAIT -> on_wait(t)
    :: else -> tasks!t
    fi
}

/* An answer that a task waited for. */
inline on_task_answer(t, what, j, code) {
    if
    :: code != OK -> end_task_with(t, REFUSED, NOBODY)
    :: code == OK && what == RESOLVE -> job_begin(t); task_end(t)
    :: code == OK && what == DROP ->
        job[j].has_recording = false;
        task[t].sweep = task[t].sweep & ~bit_of(j);
        proceed(t)
    :: code == OK && what == MARK ->
        job[j].invalid = (task[t].restores != j + 1);
        task[t].sweep = task[t].sweep & ~bit_of(j);
        proceed(t)
    fi
}

inline refuse_killer(t) {
    open_requests!t;
    answer_request(t, UNAVAILABLE, NOBODY)
}

/* What has ended it knows from the catalog; the manifest is the truth about a job whose recording exists. */
inline on_recordings() {
    for (i : 0 .. JOBS - 1) {
        if
        :: catalog[i].exists ->
            job[i].known = true;
            job[i].state = catalog[i].state;
            job[i].reason = catalog[i].reason
        :: else
        fi;
        if
        :: report[i].exists ->
            job[i].known = true;
            job[i].has_recording = true;
            job[i].has_request = true;
            job[i].invalid = report[i].invalid;
            if
            :: is_terminal(report[i].state) ->
                child[i] = false;
                job[i].state = report[i].state;
                job[i].reason = report[i].reason;
                note_final(i, job[i].state, job[i].reason);
#ifndef MUTANT_STOP_EARLY
                to_limiter(STOP, 0, 0, i, NONE)
#endif
            :: else ->
                job[i].state = (report[i].started -> RUNNING : STARTING);
                job[i].reason = 0;
                if
                :: report[i].ending != 0 -> child[i] = false; job_finish(i, report[i].ending, report[i].reason)
                :: report[i].ending == 0 && report[i].spent -> child[i] = false; job_finish(i, CANCELLED, BY_LIMIT)
                :: else ->
                    job[i].joined = report[i].joined;
                    child[i] = !report[i].ended;
                    start_clock(i);
                    if
                    :: report[i].ended -> job_source_ended(i)
                    :: else
                    fi
                fi
            fi
        :: else
        fi;
        report[i].exists = false;
        report[i].started = false;
        report[i].invalid = false;
        report[i].joined = false;
        report[i].ended = false;
        report[i].spent = false;
        report[i].state = 0;
        report[i].reason = 0;
        report[i].ending = 0
    }
    find_jobs(); /* end_older */
    for (i : 0 .. JOBS - 1) {
        assert(!is_active(i) || i == alive)
    }
    forget_finding()
}

/* The runtime and `create`: the state is gone, and with it what it asked; what it was asked comes again, the oldest first. */
inline supervisor_fails() {
    for (i : 0 .. TICKETS - 1) {
        waiter[i].kind = 0;
        waiter[i].job = 0;
        waiter[i].started = false;
        task[i].begun = false;
        task[i].waits_for_end = false;
        task[i].decided = false;
        task[i].needed = false;
        task[i].swept = false;
        task[i].restores = 0;
        task[i].sweep = 0;
        task[i].retired = 0
    }
    for (i : 0 .. JOBS - 1) {
        job[i].known = false;
        job[i].has_recording = false;
        job[i].invalid = false;
        job[i].joined = false;
        job[i].ended = false;
        job[i].starting_clock = false;
        job[i].finishing = false;
        job[i].has_request = false;
        job[i].state = 0;
        job[i].target = 0;
        job[i].reason = 0
    }
    do
    :: nempty(tasks) -> tasks?_
    :: empty(tasks) -> break
    od;
    do
    :: nempty(redelivered) -> redelivered?i; open_requests!i
    :: empty(redelivered) -> break
    od;
    do
    :: nempty(open_requests) -> open_requests?i; asked[i].again = true; redelivered!i
    :: empty(open_requests) -> break
    od;
    i = 0;
    supervisor_life++;
    supervisor_ready = false;
    to_recorder(JOBS_ASK, false, supervisor_life, 0, NONE, NONE)
}

inline on_clock_started(j, code) {
    if
    :: !job[j].known || job[j].finishing || job[j].state != STARTING
    :: else ->
        if
        :: code == UNAVAILABLE -> to_limiter(START, 0, supervisor_life, j, NONE)
        :: code == REFUSED -> job_finish(j, FAILED, BY_ERROR)
        :: else -> job[j].state = RUNNING; answer_waiters(j)
        fi
    fi
}

inline on_created(j, code) {
    if
    :: !job[j].known
    :: job[j].known && code != OK -> job[j].has_recording = false; job_finish(j, FAILED, BY_ERROR)
    :: else ->
        child[j] = !job[j].finishing;
        start_clock(j)
    fi
}

inline on_answer(to, j, code, reason_) {
    if
    :: to == CREATE -> on_created(j, code)
    :: to == START -> on_clock_started(j, code)
    :: to == FINISH -> on_finished(j, code, reason_)
    :: to == RECOVERED -> /* on_standing */
        if
        :: is_active(j) && !job[j].finishing -> job_finish(j, CANCELLED, BY_LIMIT)
        :: else
        fi
    :: to == JOBS_ASK /* refused: the recorder failed again, and will say that it is back */
    :: else -> who = j / 16; j = j % 16; on_task_answer(who, to, j, code)
    fi
}

inline on_waited_enough(t) {
    find_jobs();
    answer_waiter(t);
    forget_finding()
}

#define is_stuck(j) (job[j].state == STARTING && !job[j].joined && !job[j].finishing && disk[j].closed)

/* ---- the processes ---- */

active [CLIENTS] proctype client() {
    do
    :: op_number[_pid] == (_pid == 0 -> OPS0 : OPS1) -> break
    :: else ->
        atomic {
            if
            :: _pid == 0 && op_number[0] == 0 -> op[_pid] = RUN; op_set[_pid] = 1
            :: !(_pid == 0 && op_number[0] == 0) ->
                if
                :: op[_pid] = RUN; op_set[_pid] = 1
                :: op[_pid] = RUN; op_set[_pid] = 2
                :: op[_pid] = CHANGED; op_set[_pid] = 2
                :: op[_pid] = FORGET
                :: op[_pid] = CANCEL
                :: op[_pid] = CLEAR
                :: op[_pid] = WAIT
                fi
            fi;
            if
            :: op[_pid] == RUN || op[_pid] == CHANGED || op[_pid] == FORGET -> tracker_works!_pid
            :: else ->
                asked[_pid].op = op[_pid];
                to_supervisor(op[_pid], 0, _pid, NOBODY, NONE, NONE)
            fi
        }
        atomic {
            answer[_pid] != 0 ->
            answer[_pid] = 0;
            op[_pid] = 0;
            op_set[_pid] = 0;
            op_number[_pid]++
        }
    od
}

active proctype job_supervisor() {
    mtype what, to, state_, reason_;
    byte who, j, w, next;
    bool fits, serves;
end:
    do
    :: atomic {
        finishes != 0 ->
        do
        :: !(finishes & bit_of(j)) -> j++
        :: else -> break
        od;
        finishes = finishes & ~bit_of(j);
        to_recorder(FINISH, false, supervisor_life, j, job[j].target, job[j].reason);
        j = 0
    }
    :: atomic {
        finishes == 0 && supervisor_ready && (nempty(redelivered) || nempty(supervisor_mail)) ->
        if
        :: nempty(redelivered) -> redelivered?who; what = asked[who].op
        :: empty(redelivered) -> supervisor_mail?what, to, who, j, state_, reason_
        fi;
        if
        :: what == ANSWER && who == supervisor_life -> on_answer(to, j, state_, reason_)
        :: what == ANSWER && who != supervisor_life
        :: what == JOINED ->
            if
            :: is_active(j) -> job[j].joined = true; start_clock(j)
            :: else
            fi
        :: what == SOURCE_ENDED -> job_source_ended(j)
        :: what == SOURCE_FAILED -> job_finish(j, FAILED, BY_ERROR)
        :: what == LIMIT -> job_finish(j, CANCELLED, BY_LIMIT)
        :: what == RECOVERED -> to_recorder(JOBS_ASK, false, supervisor_life, 1, NONE, NONE)
        :: what != ANSWER && what != JOINED && what != SOURCE_ENDED && what != SOURCE_FAILED && what != LIMIT && what != RECOVERED ->
            if
            :: on_request(who)
            :: fails > 0 -> fails--; refuse_killer(who); supervisor_fails()
            fi
        fi;
        tasks_run();
        what = 0;
        to = 0;
        state_ = 0;
        reason_ = 0;
        who = 0;
        j = 0
    }
    :: atomic {
        !supervisor_ready && supervisor_mail??[ANSWER, JOBS_ASK, eval(supervisor_life), j, state_, reason_] ->
        supervisor_mail??ANSWER, JOBS_ASK, eval(supervisor_life), j, state_, reason_;
        if
        :: state_ == OK -> on_recordings(); supervisor_ready = true
        :: else -> to_recorder(JOBS_ASK, false, supervisor_life, 0, NONE, NONE)
        fi;
        state_ = 0;
        reason_ = 0;
        j = 0
    }
    :: atomic {
        finishes == 0 && fails > 0 -> fails--; supervisor_fails()
    }
#if CRASHES /* on_start_timeout: where a source can attach it will, so this matters only where none can */
    :: atomic {
        finishes == 0 && supervisor_ready && is_stuck(0) -> job_finish(0, FAILED, BY_ERROR)
    }
    :: atomic {
        finishes == 0 && supervisor_ready && is_stuck(1) -> job_finish(1, FAILED, BY_ERROR)
    }
#if JOBS > 2
    :: atomic {
        finishes == 0 && supervisor_ready && is_stuck(2) -> job_finish(2, FAILED, BY_ERROR)
    }
#endif
#endif
#if TIMERS
    :: atomic {
        finishes == 0 && supervisor_ready && (waiter[0].kind == WAIT_END) -> on_waited_enough(0)
    }
    :: atomic {
        finishes == 0 && supervisor_ready && (waiter[1].kind == WAIT_END) -> on_waited_enough(1)
    }
    :: atomic {
        finishes == 0 && supervisor_ready && (waiter[2].kind == WAIT_START) -> on_waited_enough(2)
    }
#if TICKETS > 3
    :: atomic {
        finishes == 0 && supervisor_ready && (waiter[3].kind == WAIT_START) -> on_waited_enough(3)
    }
#endif
#if TICKETS > 4
    :: atomic {
        finishes == 0 && supervisor_ready && (waiter[4].kind == WAIT_START) -> on_waited_enough(4)
    }
#endif
#endif
    od
}

/* ---- limiter.c ---- */

inline send_budget(j) {
    to_recorder(BUDGET, true, limiter_life, j, NONE, NONE)
}

inline answer_starter(j, code) {
    if
    :: limited[j].starter != 0 ->
        answer_supervisor(START, limited[j].starter - 1, j, code, NONE);
        limited[j].starter = 0;
        start_asked[j] = 0
    :: else
    fi
}

inline remove_job(j) {
    answer_starter(j, REFUSED);
    limited[j].exists = false;
    limited[j].reached = false
}

inline limit_reached(j) {
    if
    :: !limited[j].reached -> limited[j].reached = true; to_supervisor(LIMIT, 0, 0, j, NONE, NONE)
    :: else
    fi
}

inline on_start(j, life) {
    if
    :: limited[j].exists && limited[j].starter == 0 -> answer_supervisor(START, life, j, OK, NONE); start_asked[j] = 0
    :: else ->
        limited[j].exists = true;
        limited[j].starter = life + 1;
        send_budget(j)
    fi
}

inline limiter_fails() {
    for (k : 0 .. JOBS - 1) {
        limited[k].exists = false;
        limited[k].reached = false;
        limited[k].starter = 0
    }
    k = 0;
    limiter_life++;
    limiter_ready = false;
    to_recorder(JOBS_ASK, true, limiter_life, 0, NONE, NONE)
}

active proctype limiter() {
    mtype what, to, code;
    byte who, j, k;
end:
    do
    :: atomic {
        limiter_ready && nempty(limiter_mail) ->
        limiter_mail?what, to, who, j, code;
        if
        :: what == RESOLVE ->
            if
            :: answer_supervisor(RESOLVE, who, j, OK, NONE)
            :: disk_faults > 0 -> disk_faults--; answer_supervisor(RESOLVE, who, j, REFUSED, NONE)
            :: fails > 0 -> fails--; answer_supervisor(RESOLVE, who, j, UNAVAILABLE, NONE); limiter_fails()
            fi
        :: what == START ->
            if
            :: start_asked[j] = who + 1; on_start(j, who)
            :: fails > 0 -> fails--; answer_supervisor(START, who, j, UNAVAILABLE, NONE); limiter_fails()
            fi
        :: what == STOP ->
            if
            :: limited[j].exists -> remove_job(j)
            :: else
            fi
        :: what == SPENT ->
            if
            :: limited[j].exists -> limit_reached(j)
            :: else
            fi
        :: what == RECOVERED ->
            for (k : 0 .. JOBS - 1) {
                if
                :: limited[k].exists -> send_budget(k)
                :: else
                fi
            }
            k = 0
        :: what == ANSWER && who == limiter_life && to == BUDGET && limited[j].exists -> /* on_budget_set */
            if
            :: code == OK -> answer_starter(j, OK)
            :: code == REFUSED -> remove_job(j)
            :: else
            fi
        :: what == ANSWER && !(who == limiter_life && to == BUDGET && limited[j].exists)
        fi;
        what = 0;
        to = 0;
        code = 0;
        who = 0;
        j = 0
    }
    :: atomic {
        !limiter_ready && limiter_mail??[ANSWER, JOBS_ASK, eval(limiter_life), j, code] ->
        limiter_mail??ANSWER, JOBS_ASK, eval(limiter_life), j, code;
        if
        :: code == OK ->
            for (k : 0 .. JOBS - 1) {
                if
                :: limiter_report[k] ->
                    limited[k].exists = true;
                    send_budget(k);
                    if
                    :: limiter_spent[k] -> limit_reached(k)
                    :: else
                    fi
                :: else
                fi;
                limiter_report[k] = false;
                limiter_spent[k] = false
            }
            limiter_ready = true;
            for (k : 0 .. JOBS - 1) {
                if
                :: start_asked[k] != 0 -> on_start(k, start_asked[k] - 1)
                :: else
                fi
            }
            k = 0
        :: else -> to_recorder(JOBS_ASK, true, limiter_life, 0, NONE, NONE)
        fi;
        code = 0;
        j = 0
    }
    :: atomic {
        fails > 0 -> fails--; limiter_fails()
    }
    od
}

/* ---- recorder.c, recorder_finish.c ---- */

inline answer_limiter(a_to, a_life, a_job, a_code) {
    if
    :: a_life == limiter_life -> to_limiter(ANSWER, a_to, a_life, a_job, a_code)
    :: else
    fi
}

inline note_spent(j) {
    if
    :: disk[j].spent && !recording[j].told_spent -> recording[j].told_spent = true; to_limiter(SPENT, 0, 0, j, NONE)
    :: else
    fi
}

/* The log has its closing record, but the process died before the manifest said why. */
inline explain_end(j) {
    if
    :: disk[j].ended -> to_supervisor(SOURCE_ENDED, 0, 0, j, NONE, NONE)
    :: !disk[j].ended && !disk[j].spent -> to_supervisor(SOURCE_FAILED, 0, 0, j, NONE, NONE)
    :: else
    fi
}

inline on_budget(j, life) {
    if
    :: !disk[j].exists || is_terminal(disk[j].state) -> answer_limiter(BUDGET, life, j, REFUSED)
    :: else ->
        disk[j].started = true;
        disk[j].state = RUNNING;
        if
        :: !recording[j].open && disk[j].closed && recording[j].ending == 0 -> explain_end(j)
        :: else
        fi;
        recording[j].open = true;
        note_spent(j);
        answer_limiter(BUDGET, life, j, OK)
    fi
}

inline finish_complete(j, state_, reason_) {
    disk[j].state = state_;
    disk[j].reason = reason_;
    answer_supervisor(FINISH, recording[j].ending_life - 1, j, state_, reason_);
    recording[j].open = false;
    recording[j].joined = false;
    recording[j].told_spent = false;
    recording[j].ending = 0;
    recording[j].ending_reason = 0;
    recording[j].ending_life = 0
}

inline finish_begin(j, life, state_, reason_) {
    if
    :: !disk[j].exists -> answer_supervisor(FINISH, life, j, REFUSED, NONE)
    :: disk[j].exists && is_terminal(disk[j].state) -> answer_supervisor(FINISH, life, j, disk[j].state, disk[j].reason)
    :: else ->
        recording[j].ending_life = life + 1;
        if
        :: recording[j].ending != 0
        :: else ->
            if
            :: !disk[j].closed && disk_faults > 0 -> disk_faults--; finish_complete(j, FAILED, BY_ERROR)
            :: disk[j].closed = true; recording[j].ending = state_; recording[j].ending_reason = reason_
            fi
        fi
    fi
}

inline on_create(j, life) {
    for (k : 0 .. JOBS - 1) {
        assert(!disk[k].exists || is_terminal(disk[k].state)); /* one recording of a pipeline is written at a time */
        assert(!created[k] || made_by[k] != made_by[j])        /* what a request starts is recorded once */
    }
    k = 0;
    created[j] = true;
    disk[j].exists = true;
    disk[j].state = STARTING;
    answer_supervisor(CREATE, life, j, OK, NONE)
}

inline remove_recording(j) {
    disk[j].exists = false;
    disk[j].state = 0;
    disk[j].reason = 0;
    disk[j].started = false;
    disk[j].invalid = false;
    disk[j].closed = false;
    disk[j].ended = false;
    disk[j].spent = false
}

inline on_jobs(limits, life, standing) {
    for (k : 0 .. JOBS - 1) {
        if
        :: limits && life == limiter_life ->
            limiter_report[k] = disk[k].exists && disk[k].started && !is_terminal(disk[k].state) && recording[k].ending == 0;
            limiter_spent[k] = limiter_report[k] && disk[k].spent
        :: !limits && life == supervisor_life && standing == 0 && disk[k].exists ->
            report[k].exists = true;
            report[k].started = disk[k].started;
            report[k].invalid = disk[k].invalid;
            report[k].joined = recording[k].joined && !recording[k].open;
            report[k].ended = disk[k].ended;
            report[k].spent = disk[k].spent;
            report[k].state = disk[k].state;
            report[k].ending = recording[k].ending;
            report[k].reason = (is_terminal(disk[k].state) -> disk[k].reason : recording[k].ending_reason)
        :: !limits && life == supervisor_life && standing == 1 && disk[k].exists && !is_terminal(disk[k].state) && disk[k].spent ->
            answer_supervisor(RECOVERED, life, k, OK, NONE)
        :: else
        fi
    }
    k = 0;
    if
    :: limits -> answer_limiter(JOBS_ASK, life, 0, OK)
    :: !limits && standing == 0 -> answer_supervisor(JOBS_ASK, life, 0, OK, NONE)
    :: else
    fi
}

inline recorder_fails() {
    for (k : 0 .. JOBS - 1) {
        recording[k].open = false;
        recording[k].joined = false;
        recording[k].told_spent = false;
#ifdef MUTANT_NO_REDELIVERY
        recording[k].ending = 0;
        recording[k].ending_reason = 0;
        recording[k].ending_life = 0
#endif
    }
    k = 0;
    to_limiter(RECOVERED, 0, 0, 0, NONE);
    to_supervisor(RECOVERED, 0, 0, 0, NONE, NONE)
}

inline refuse_by_failure(f_what, f_limits, f_life, f_job) {
    if
    :: f_limits -> answer_limiter(f_what, f_life, f_job, UNAVAILABLE)
    :: else -> answer_supervisor(f_what, f_life, f_job, UNAVAILABLE, NONE)
    fi
}

#define is_writing(j) (disk[j].exists && !is_terminal(disk[j].state) && !disk[j].closed)
#define takes(j) (is_writing(j) && recording[j].open && recording[j].joined && !disk[j].ended && !disk[j].spent)

/* What the sources of a job do: attach, reach a limit, end, fail. */
inline source(j) {
    if
    :: is_writing(j) && child[j] && !disk[j].ended && !recording[j].joined ->
        recording[j].joined = true;
        to_supervisor(JOINED, 0, 0, j, NONE, NONE)
    :: takes(j) -> disk[j].ended = true; to_supervisor(SOURCE_ENDED, 0, 0, j, NONE, NONE)
    :: takes(j) -> disk[j].spent = true; limit_hit[j] = true; note_spent(j)
    :: SOURCES_FAIL && is_writing(j) && child[j] ->
        child[j] = false;
        recording[j].joined = false;
        to_supervisor(SOURCE_FAILED, 0, 0, j, NONE, NONE)
    :: recording[j].ending != 0 -> finish_complete(j, recording[j].ending, recording[j].ending_reason) /* finish_synced */
    fi
}

#define can_attach(j) (is_writing(j) && child[j] && (SOURCES_FAIL || (!disk[j].ended && !recording[j].joined)))
#define can_act(j) (can_attach(j) || takes(j) || recording[j].ending != 0)

active proctype recorder() {
    mtype what, state_, reason_;
    bool limits;
    byte who, j, k;
end:
    do
    :: atomic {
        nempty(recorder_mail) ->
        recorder_mail?what, limits, who, j, state_, reason_;
        if
        :: fails > 0 ->
            fails--;
            refuse_by_failure(what, limits, who, j);
            recorder_fails()
        :: what == CREATE -> on_create(j, who)
        :: what == BUDGET -> on_budget(j, who)
        :: what == FINISH -> finish_begin(j, who, state_, reason_)
        :: what == DROP ->
            assert(!disk[j % 16].exists || is_terminal(disk[j % 16].state));
            remove_recording(j % 16);
            answer_supervisor(DROP, who, j, OK, NONE)
        :: what == MARK ->
            if
            :: !disk[j % 16].exists -> answer_supervisor(MARK, who, j, REFUSED, NONE)
            :: else ->
                assert(is_terminal(disk[j % 16].state));
#ifndef MUTANT_NO_MARK
                disk[j % 16].invalid = (state_ == OK);
#endif
                answer_supervisor(MARK, who, j, OK, NONE)
            fi
        :: what == JOBS_ASK -> on_jobs(limits, who, j)
        fi;
        what = 0;
        state_ = 0;
        reason_ = 0;
        limits = false;
        who = 0;
        j = 0
    }
    :: atomic {
        fails > 0 -> fails--; recorder_fails()
    }
    :: atomic {
        can_act(0) -> source(0)
    }
    :: atomic {
        can_act(1) -> source(1)
    }
#if JOBS > 2
    :: atomic {
        can_act(2) -> source(2)
    }
#endif
#if JOBS > 3
    :: atomic {
        can_act(3) -> source(3)
    }
#endif
    od
}

/* ---- work.c, signature_checker.c ---- */

inline ask_supervisor(op_) {
    asked[CLIENTS + tracker_life].op = op_;
    asked[CLIENTS + tracker_life].set = op_set[working_for];
    asked[CLIENTS + tracker_life].request = request_of(working_for);
    asked[CLIENTS + tracker_life].changed = changed;
    tracker_asked = op_;
    to_supervisor(op_, 0, CLIENTS + tracker_life, NOBODY, NONE, NONE)
}

inline work_end(code) {
    assert(answer[working_for] == 0);
    answer[working_for] = code;
    working_for = NOBODY;
    tracker_asked = 0
}

/* Was this recorded by the work that asks now? Then that work was begun anew, and what counts is what was recorded before it. */
inline compare() {
    if
    :: recorded.request != 0 && recorded.request == request_of(working_for) -> before = recorded.before; pending = recorded.was_pending
    :: else -> before = recorded.set; pending = recorded.pending
    fi;
    changed = (before != op_set[working_for])
}

inline record_signature(set_, pending_, job_) {
    compare();
    recorded.was_pending = pending;
    recorded.before = before;
    recorded.request = request_of(working_for);
    recorded.set = set_;
    recorded.pending = pending_;
    recorded.job = job_
}

inline begin() {
    compare();
    if
    :: op[working_for] == RUN -> changed = changed || pending; ask_supervisor(ENSURE)
    :: op[working_for] == CHANGED && (changed || pending) -> ask_supervisor(INVALIDATE)
    :: op[working_for] == CHANGED && !(changed || pending) -> work_end(OK)
    :: op[working_for] == FORGET -> ask_supervisor(FORGET)
    fi
}

inline forget_signature() {
    recorded.set = 0;
    recorded.pending = false;
    recorded.job = NOBODY;
    recorded.request = 0;
    recorded.before = 0;
    recorded.was_pending = false
}

/* record_started, record_change: a change is remembered once the recording is invalid, until a job has started on it. */
inline on_decided(code, j) {
    if
    :: code == REFUSED || code == UNAVAILABLE -> work_end(REFUSED)
    :: code == STARTED || code == RESTORED ->
        if
        :: record_signature(made_of[j], false, j)
        :: disk_faults > 0 -> disk_faults-- /* the catalog refuses it */
        fi;
        work_end(OK)
    :: (code == STANDS || code == OK) && tracker_asked == INVALIDATE ->
        compare();
        last_job = recorded.job;
        if
        :: changed -> record_signature(op_set[working_for], true, last_job)
        :: else
        fi;
        work_end(OK)
    :: (code == STANDS || code == OK) && tracker_asked == FORGET ->
        forget_signature();
        for (k : 0 .. JOBS - 1) {
            assert(!disk[k].exists && !catalog[k].exists && !job[k].known) /* nothing of it is left */
        }
        k = 0;
        work_end(OK)
    :: else -> work_end(OK)
    fi
}

/* take_manifest: the newest recording that is valid says what is recorded, where the catalog knows another job. */
inline signature_checker_fails() {
    k = JOBS;
    do
    :: k > 0 && !(disk[k - 1].exists && !disk[k - 1].invalid) -> k--
    :: else -> break
    od;
    if
    :: k > 0 && !(recorded.set != 0 && recorded.job == k - 1) ->
        recorded.set = made_of[k - 1];
        recorded.job = k - 1;
        recorded.pending = false;
        recorded.request = 0;
        recorded.before = 0;
        recorded.was_pending = false
    :: else
    fi;
    k = 0
}

inline clean() {
    life = 0;
    code = 0;
    j = 0;
    before = 0;
    last_job = 0;
    changed = false;
    pending = false
}

active proctype pipeline_tracker() {
    byte life, j, k, before, last_job;
    bool changed, pending;
    mtype code;
end:
    do
    :: atomic {
        working_for == NOBODY && nempty(tracker_works) -> tracker_works?working_for; begin(); clean()
    }
    :: atomic {
        nempty(tracker_mail) ->
        tracker_mail?life, code, j;
        if
        :: life == tracker_life -> on_decided(code, j)
        :: else
        fi;
        clean()
    }
    :: atomic {
        working_for != NOBODY && fails > 0 -> fails--; tracker_life++; begin(); clean()
    }
    :: atomic {
        fails > 0 -> fails--; signature_checker_fails()
    }
    od
}

/* ---- kill -9: what is on the disk stays, and whoever waits is told nothing ---- */

#if CRASHES
inline drain(c) {
    do
    :: nempty(c) -> c?_
    :: empty(c) -> break
    od
}

active proctype crash() {
    byte k;
end:
    do
    :: atomic {
        crashes > 0 ->
        crashes--;
        for (k : 0 .. CLIENTS - 1) {
            if
            :: op[k] != 0 && answer[k] == 0 -> answer[k] = LOST
            :: else
            fi
        }
        do
        :: nempty(supervisor_mail) -> supervisor_mail?_, _, _, _, _, _
        :: empty(supervisor_mail) -> break
        od;
        do
        :: nempty(limiter_mail) -> limiter_mail?_, _, _, _, _
        :: empty(limiter_mail) -> break
        od;
        do
        :: nempty(recorder_mail) -> recorder_mail?_, _, _, _, _, _
        :: empty(recorder_mail) -> break
        od;
        do
        :: nempty(tracker_mail) -> tracker_mail?_, _, _
        :: empty(tracker_mail) -> break
        od;
        drain(tracker_works);
        drain(open_requests);
        drain(redelivered);
        for (k : 0 .. TICKETS - 1) {
            asked[k].op = 0;
            asked[k].set = 0;
            asked[k].request = 0;
            asked[k].changed = false;
            asked[k].again = false
        }
        for (k : 0 .. JOBS - 1) {
            child[k] = false;
            start_asked[k] = 0;
            recording[k].open = false;
            recording[k].joined = false;
            recording[k].told_spent = false;
            recording[k].ending = 0;
            recording[k].ending_reason = 0;
            recording[k].ending_life = 0
        }
        finishes = 0;
        working_for = NOBODY;
        tracker_asked = 0;
        tracker_life++;
        signature_checker_fails();
        supervisor_fails();
        limiter_fails();
        k = 0
    }
    od
}
#endif

/* ---- the end: when nothing can happen any more ---- */

active proctype judge() {
    byte j;
end:
    timeout ->
    atomic {
        assert(working_for == NOBODY && empty(open_requests) && empty(redelivered) && empty(tasks));
        for (j : 0 .. TICKETS - 1) {
            assert(asked[j].op == 0 && waiter[j].kind == 0)
        }
        for (j : 0 .. JOBS - 1) {
            assert(!disk[j].exists || is_terminal(disk[j].state));
            assert(!is_active(j) && !child[j] && start_asked[j] == 0);
            assert(!job[j].known || job[j].has_recording == disk[j].exists);
            assert(!job[j].has_recording || (job[j].state == disk[j].state && job[j].reason == disk[j].reason));
            assert(!job[j].has_recording || job[j].invalid == disk[j].invalid);
            assert(!limited[j].exists) /* nobody is watched who has ended */
        }
    }
}
