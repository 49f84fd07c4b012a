// Splits a range of units over threads, with scratch memory for each.
#pragma once

#include "types.h"

namespace cenote {

// How many threads torch would take; 1 in a forked child, where OpenMP's pool does not exist.
int default_threads();

// Runs the kernel on [0, units) split evenly over at most `threads` threads. `bytes` is what all
// units move together: little work stays on one thread. Throws std::bad_alloc before anything is
// written.
void run(Kernel kernel, const Task& task, Index units, Index bytes, int threads);

// How many threads are worth it for so many products of two numbers, or bytes to move.
Index threads_for_macs(Index macs, int most);
Index threads_for_bytes(Index bytes, int most);

// Calls work(context, begin, end, scratch) for [0, units), split over so many threads; each has
// `scratch` bytes of its own.
using Work = void (*)(const void* context, Index begin, Index end, char* scratch);
void share_out(Work work, const void* context, Index units, Index threads, Index scratch);

// The same with a function object: work(begin, end, scratch).
template <class Body>
void share(Index units, Index threads, Index scratch, const Body& work) {
  share_out([](const void* context, Index begin, Index end,
               char* memory) { (*static_cast<const Body*>(context))(begin, end, memory); },
            &work, units, threads, scratch);
}

// Moves the bytes alone, over the same threads: the least time that any kernel can take.
void roof(const Kernels& kernels, const char* in, Index in_bytes, char* out, Index out_bytes,
          bool streams, int threads);

// Whether so many bytes are more than the last cache holds.
bool beyond_caches(Index bytes);

// Asks for large pages before fresh memory is touched for the first time.
void before_writing(void* output, Index bytes);

}  // namespace cenote
