/* What one thread hands to another through libzmq, announced to ThreadSanitizer.
 *
 * libzmq is not built with ThreadSanitizer, which therefore cannot see the atomics by which it hands memory over. These say what they do:
 * whoever takes an address comes after whoever gave it. Without ThreadSanitizer the address is not even worked out. */
#ifndef REPRISE_HANDOVER_H
#define REPRISE_HANDOVER_H

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define handover_give(address) __tsan_release(address)
#define handover_take(address) __tsan_acquire(address)
#else
#define handover_give(address) ((void)(0 && (address)))
#define handover_take(address) ((void)(0 && (address)))
#endif

#endif
