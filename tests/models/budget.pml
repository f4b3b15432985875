/* How limits become exact: the limiter (limiter.c) gives each job a budget, the recorder (recorder.c) and its reels (reel.c) count it down
 * before each append, and whoever reaches it is ended. Two jobs share the bytes of all recordings; the option that limits those is changed
 * while they record; sources send batches at any time; the clock runs past a deadline; and the recorder and the limiter fail and recover at
 * each point. Handlers and fields bear the names that they have in the code.
 *
 * An element is one byte and so is a closing record, which each reel keeps back. A gathered element costs one more until it is written,
 * because what it will cost is estimated first. Times and numbers are small: what matters is on which side of a limit they are. */

#ifndef RECORDER_FAILS
#define RECORDER_FAILS 0
#endif
#ifndef LIMITER_FAILS
#define LIMITER_FAILS 0
#endif
#ifndef CHANGES
#define CHANGES 0 /* of the option */
#endif
#ifndef TOTAL
#define TOTAL 5 /* bytes of both recordings: at first, */
#endif
#ifndef CHANGED_TOTAL
#define CHANGED_TOTAL 4 /* and then */
#endif

#ifndef LAST_TIME
#define LAST_TIME 2 /* of the clock; 0: it stands still */
#endif

#define JOBS 2
#define COUNT 2     /* elements of each */
#define BYTES 3     /* of the second, its closing record included */
#define DEADLINE 1  /* of the first */
#define BATCH 2     /* elements, at most */
#define NEVER 9

/* of what the option was until now */
#define LARGEST (changes == CHANGES || TOTAL > CHANGED_TOTAL -> TOTAL : CHANGED_TOTAL)

#define bytes_limit(j) (j == 0 -> NEVER : BYTES)
#define deadline_of(j) (j == 0 -> DEADLINE : NEVER)

mtype = { START, STOP, SPENT, RECOVERED, OPTIONS_CHANGED, BUDGET, FINISH, JOBS_ASK, ANSWER, LIMIT, OK, REFUSED, UNAVAILABLE };
mtype = { BY_COUNT, BY_BYTES, BY_DURATION };

chan supervisor_mail = [8] of { mtype, mtype, byte, mtype };     /* what, answer to what, job, answer or limit */
chan limiter_mail = [12] of { mtype, mtype, byte, byte, byte };  /* what, answer to what, life, job, answer, limit or value */
chan recorder_mail = [10] of { mtype, bool, byte, byte, byte, byte }; /* what, from the limiter, life, job, total, until or limit */

byte now, recorder_fails_left = RECORDER_FAILS, limiter_fails_left = LIMITER_FAILS;
byte option = TOTAL; /* as the catalog has it */
byte changes = CHANGES;

/* ---- on the disk ---- */

typedef manifest_t {
    byte written; /* elements in the log */
    byte until;   /* from the first budget on; NEVER before, too */
    bool started, closed, ended;
    mtype spent; /* reel_save_spent */
}
manifest_t disk[JOBS];

/* ---- the recorder ---- */

typedef reel_t {
    bool open, told_spent;
    byte gathered, waiting_cost, total, version;
    mtype spent;
}
reel_t reel[JOBS];

/* ---- the limiter ---- */

typedef limited_t {
    bool exists, reached, starts;
    byte until;
}
limited_t limited[JOBS];
byte limiter_life, size_limit = TOTAL, version;
bool limiter_ready = true;
bool start_asked[JOBS];
bool report[JOBS];
mtype report_spent[JOBS];

/* ---- what is asserted about the past ---- */

bool over[JOBS];      /* a batch was cut, and the rest of it is lost: nothing may follow */
byte confirmed[JOBS]; /* the newest version of the option that the recorder has said it counts with */
bool ended[JOBS];

inline to_supervisor(m_what, m_to, m_job, m_code) {
    assert(nfull(supervisor_mail));
    supervisor_mail!m_what, m_to, m_job, m_code
}
inline to_limiter(m_what, m_to, m_life, m_job, m_code) {
    assert(nfull(limiter_mail));
    limiter_mail!m_what, m_to, m_life, m_job, m_code
}
inline to_recorder(m_what, m_limits, m_life, m_job, m_total, m_until) {
    assert(nfull(recorder_mail));
    recorder_mail!m_what, m_limits, m_life, m_job, m_total, m_until
}

/* ---- reel.c ---- */

#define held(j) (disk[j].written + 1 + reel[j].waiting_cost)
#define ledger (held(0) + held(1))
#define elements(j) (disk[j].written + reel[j].gathered)
#define is_sealed(j) (reel[j].spent != 0 || disk[j].closed)

/* Bytes that the log may have, without the closing record; negative: none. */
inline find_room(r_job) {
    room = bytes_limit(r_job);
    if
    :: reel[r_job].total - (ledger - held(r_job)) < room -> room = reel[r_job].total - (ledger - held(r_job))
    :: else
    fi;
    room--
}

inline reel_flush(f_job) {
    disk[f_job].written = disk[f_job].written + reel[f_job].gathered;
    reel[f_job].gathered = 0;
    reel[f_job].waiting_cost = 0
}

inline reel_set_budget(j) {
    if
    :: reel[j].spent != 0
    :: else ->
        reel_flush(j);
        find_room(j);
        if
        :: disk[j].written >= COUNT -> reel[j].spent = BY_COUNT
        :: disk[j].written < COUNT && disk[j].written >= room -> reel[j].spent = BY_BYTES
        :: disk[j].written < COUNT && disk[j].written < room && now > disk[j].until -> reel[j].spent = BY_DURATION
        :: else
        fi
    fi
}

/* What holds of each element that is taken. */
inline check_taken(j) {
    assert(elements(j) <= COUNT);
    assert(elements(j) + 1 <= bytes_limit(j));
    assert(elements(0) + 1 + elements(1) + 1 <= reel[j].total);
    assert(elements(0) + 1 + elements(1) + 1 <= LARGEST);
    assert(now <= disk[j].until);
    assert(reel[j].open && !over[j] && !disk[j].closed);
    assert(reel[j].version >= confirmed[j])
}

inline reel_put_alone(j) {
    reel_flush(j);
    find_room(j);
    if
    :: disk[j].written + taken <= room
    :: else ->
        reel[j].spent = BY_BYTES;
        cut = true;
        if
        :: room <= disk[j].written -> taken = 0
        :: else ->
            taken = room - disk[j].written;
#ifndef MUTANT_FORGET_CUT
            disk[j].spent = BY_BYTES
#endif
        fi
    fi;
    disk[j].written = disk[j].written + taken;
    if
    :: taken > 0 -> check_taken(j)
    :: else
    fi
}

inline reel_put(j) {
    cut = false;
    if
    :: now > disk[j].until -> reel[j].spent = BY_DURATION; taken = 0; cut = true
    :: else ->
#ifdef MUTANT_COUNT_AFTER
        if
        :: disk[j].written + taken >= COUNT -> reel[j].spent = BY_COUNT; cut = (disk[j].written + taken > COUNT)
#else
        if
        :: elements(j) + taken >= COUNT ->
            reel[j].spent = BY_COUNT;
            cut = (elements(j) + taken > COUNT);
            taken = COUNT - elements(j)
#endif
        :: else
        fi;
        if
        :: cut || ledger + taken + 1 > reel[j].total || held(j) + taken + 1 > bytes_limit(j) -> reel_put_alone(j)
        :: else ->
            reel[j].gathered = reel[j].gathered + taken;
            reel[j].waiting_cost = reel[j].waiting_cost + taken + 1;
            check_taken(j)
        fi
    fi;
    over[j] = over[j] || (cut && taken > 0)
}

/* ---- recorder.c, recorder_finish.c ---- */

inline note_spent(j) {
    if
    :: reel[j].spent != 0 && !reel[j].told_spent ->
        reel[j].told_spent = true;
        to_limiter(SPENT, 0, 0, j, reel[j].spent)
    :: else
    fi
}

inline answer_limiter(a_to, a_life, a_job, a_code) {
    if
    :: a_life == limiter_life -> to_limiter(ANSWER, a_to, a_life, a_job, a_code)
    :: else
    fi
}

inline on_budget(j) {
    if
    :: disk[j].ended -> answer_limiter(BUDGET, life, j, REFUSED)
    :: else ->
        if
        :: !disk[j].started -> disk[j].started = true; disk[j].until = until
        :: else
        fi;
        reel[j].open = true;
        reel[j].total = total % 16;
        reel[j].version = total / 16;
        reel_set_budget(j);
        note_spent(j);
        answer_limiter(BUDGET, life, j + 16 * reel[j].version, OK)
    fi
}

inline on_jobs() {
    for (k : 0 .. JOBS - 1) {
        if
        :: life == limiter_life && disk[k].started && !disk[k].ended -> report[k] = true; report_spent[k] = reel[k].spent
        :: else
        fi
    }
    k = 0;
    answer_limiter(JOBS_ASK, life, 0, OK)
}

/* shelf_reopen: the log is all that is left; until there is a budget nobody is let in. */
inline recorder_fails() {
    for (k : 0 .. JOBS - 1) {
        reel[k].open = false;
        reel[k].told_spent = false;
        reel[k].gathered = 0;
        reel[k].waiting_cost = 0;
        reel[k].total = NEVER;
        reel[k].version = 0;
        reel[k].spent = disk[k].spent;
#ifdef MUTANT_OPEN_AT_ONCE
        reel[k].open = disk[k].started && !disk[k].ended
#endif
    }
    k = 0;
    to_limiter(RECOVERED, 0, 0, 0, 0)
}

inline on_finish(j) {
    if
    :: !disk[j].ended ->
        reel_flush(j);
        assert(disk[j].written + 1 <= bytes_limit(j));
        disk[j].closed = true;
        disk[j].ended = true;
        reel[j].open = false
    :: else
    fi;
    to_supervisor(ANSWER, FINISH, j, OK)
}

#define takes(j) (reel[j].open && !is_sealed(j))

active proctype recorder() {
    mtype what;
    bool limits, cut;
    byte life, job, total, until, k, taken;
    short room;
end:
    do
    :: atomic {
        nempty(recorder_mail) ->
        recorder_mail?what, limits, life, job, total, until;
        if
        :: recorder_fails_left > 0 ->
            recorder_fails_left--;
            if
            :: limits -> answer_limiter(what, life, job, UNAVAILABLE)
            :: else -> to_supervisor(ANSWER, what, job, UNAVAILABLE)
            fi;
            recorder_fails()
        :: what == BUDGET -> on_budget(job)
        :: what == FINISH -> on_finish(job)
        :: what == JOBS_ASK -> on_jobs()
        fi;
        what = 0;
        limits = false;
        life = 0;
        job = 0;
        total = 0;
        until = 0;
        room = 0
    }
    :: atomic { /* ingest_batch */
        takes(0) || takes(1) ->
        if
        :: takes(0) -> job = 0
        :: takes(1) -> job = 1
        fi;
        if
        :: taken = 1
        :: taken = BATCH
        fi;
        reel_put(job);
        note_spent(job);
        cut = false;
        taken = 0;
        room = 0;
        job = 0
    }
    :: atomic { /* recorder_settle */
        reel[0].gathered + reel[1].gathered > 0 -> reel_flush(0); reel_flush(1)
    }
    :: atomic {
        recorder_fails_left > 0 -> recorder_fails_left--; recorder_fails()
    }
    od
}

/* ---- limiter.c ---- */

inline send_budget(j) {
    to_recorder(BUDGET, true, limiter_life, j, size_limit + 16 * version, limited[j].until)
}

inline limit_reached(j, limit) {
#ifdef MUTANT_TELL_NOBODY
    limited[j].reached = true;
#endif
    if
    :: !limited[j].reached -> limited[j].reached = true; to_supervisor(LIMIT, 0, j, limit)
    :: else
    fi
}

inline answer_starter(j, s_code) {
    if
    :: limited[j].starts -> limited[j].starts = false; start_asked[j] = false; to_supervisor(ANSWER, START, j, s_code)
    :: else
    fi
}

inline on_start(j) {
    if
    :: limited[j].exists && !limited[j].starts -> start_asked[j] = false; to_supervisor(ANSWER, START, j, OK)
    :: else ->
        limited[j].exists = true;
        limited[j].starts = true;
        limited[j].until = deadline_of(j);
        send_budget(j)
    fi
}

inline remove_job(j) {
    answer_starter(j, REFUSED);
    limited[j].exists = false;
    limited[j].reached = false;
    limited[j].until = 0
}

inline limiter_fails() {
    for (k : 0 .. JOBS - 1) {
        limited[k].exists = false;
        limited[k].reached = false;
        limited[k].starts = false;
        limited[k].until = 0
    }
    k = 0;
    limiter_life++;
    limiter_ready = false;
    size_limit = option;
    version = CHANGES - changes;
    to_recorder(JOBS_ASK, true, limiter_life, 0, 0, 0)
}

inline on_budget_set(j) {
    if
    :: code == OK -> answer_starter(j, OK)
    :: code == REFUSED -> remove_job(j)
    :: else /* the recorder says when it is back */
    fi
}

active proctype limiter() {
    mtype what, to;
    byte life, job, code, k;
end:
    do
    :: atomic {
        limiter_ready && nempty(limiter_mail) ->
        limiter_mail?what, to, life, job, code;
        if
        :: what == START ->
            if
            :: start_asked[job] = true; on_start(job)
            :: limiter_fails_left > 0 -> limiter_fails_left--; to_supervisor(ANSWER, START, job, UNAVAILABLE); limiter_fails()
            fi
        :: what == STOP && limited[job].exists -> remove_job(job)
        :: what == SPENT && limited[job].exists -> limit_reached(job, code)
        :: what == RECOVERED ->
            for (k : 0 .. JOBS - 1) {
                if
#ifndef MUTANT_NO_BUDGET_AGAIN
                :: limited[k].exists -> send_budget(k)
#endif
                :: else
                fi
            }
            k = 0
        :: what == OPTIONS_CHANGED && size_limit != code ->
            size_limit = code;
            version++;
            for (k : 0 .. JOBS - 1) {
                if
                :: limited[k].exists -> send_budget(k)
                :: else
                fi
            }
            k = 0
        :: what == ANSWER && life == limiter_life && to == BUDGET && limited[job % 16].exists ->
            if
            :: code == OK -> confirmed[job % 16] = job / 16
            :: else
            fi;
            job = job % 16;
            on_budget_set(job)
        :: else
        fi;
        what = 0;
        to = 0;
        life = 0;
        job = 0;
        code = 0
    }
    :: atomic {
        !limiter_ready && limiter_mail??[ANSWER, JOBS_ASK, eval(limiter_life), job, code] ->
        limiter_mail??ANSWER, JOBS_ASK, eval(limiter_life), job, code;
        if
        :: code == OK ->
            for (k : 0 .. JOBS - 1) {
                if
                :: report[k] ->
                    limited[k].exists = true;
                    limited[k].until = disk[k].until;
                    send_budget(k);
                    if
                    :: report_spent[k] != 0 -> limit_reached(k, report_spent[k])
                    :: else
                    fi
                :: else
                fi;
                report[k] = false;
                report_spent[k] = 0
            }
            limiter_ready = true;
            for (k : 0 .. JOBS - 1) {
                if
                :: start_asked[k] -> on_start(k)
                :: else
                fi
            }
            k = 0
        :: else -> to_recorder(JOBS_ASK, true, limiter_life, 0, 0, 0)
        fi;
        code = 0;
        job = 0
    }
    :: atomic { /* on_deadline */
        limiter_ready && limited[0].exists && !limited[0].reached && now >= limited[0].until -> limit_reached(0, BY_DURATION)
    }
    :: atomic {
        limiter_fails_left > 0 -> limiter_fails_left--; limiter_fails()
    }
    od
}

/* ---- what the job supervisor does of it: starts both jobs, and ends those that have reached a limit ---- */

active proctype job_supervisor() {
    mtype what, to, code;
    byte job;
    bool finishing[JOBS];
    atomic {
        to_limiter(START, 0, 0, 0, 0);
        to_limiter(START, 0, 0, 1, 0)
    }
end:
    do
    :: atomic {
        nempty(supervisor_mail) ->
        supervisor_mail?what, to, job, code;
        if
        :: (what == LIMIT && !finishing[job]) || (what == ANSWER && to == START && code == REFUSED && !finishing[job]) ->
            finishing[job] = true;
            to_limiter(STOP, 0, 0, job, 0);
            to_recorder(FINISH, false, 0, job, 0, 0)
        :: what == ANSWER && to == START && code == UNAVAILABLE && !finishing[job] -> to_limiter(START, 0, 0, job, 0)
        :: what == ANSWER && to == FINISH && code == UNAVAILABLE -> to_recorder(FINISH, false, 0, job, 0, 0)
        :: what == ANSWER && to == FINISH && code == OK ->
            assert(!ended[job]); /* once */
            ended[job] = true;
            to_limiter(STOP, 0, 0, job, 0)
        :: else
        fi;
        what = 0;
        to = 0;
        job = 0;
        code = 0
    }
    od
}

/* ---- the world ---- */

active proctype clock() {
end:
    do
    :: now < LAST_TIME -> now++
    :: else -> break
    od
}

active proctype catalog() {
end:
    do
    :: atomic {
        changes > 0 ->
        option = (option == TOTAL -> CHANGED_TOTAL : TOTAL);
        changes--;
        to_limiter(OPTIONS_CHANGED, 0, 0, 0, option)
    }
    od
}

/* When nothing can happen any more, both have met a limit, and have ended by it. */
active proctype judge() {
end:
    timeout ->
    assert(ended[0] && ended[1] && disk[0].ended && disk[1].ended);
    assert(!limited[0].exists && !limited[1].exists && limiter_ready && !start_asked[0] && !start_asked[1])
}
