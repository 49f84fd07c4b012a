#include "parallel.h"

#include <algorithm>
#include <memory>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

namespace cenote {
namespace {

// A thread has to move this much for its start to be worth it; a guess, not tuned yet.
constexpr Index kBytesPerThread = 128 * 1024;
constexpr std::align_val_t kAlignment{64};

struct Free {
  void operator()(char* memory) const { ::operator delete(memory, kAlignment); }
};
using Memory = std::unique_ptr<char, Free>;

bool forked = false;

#ifdef _OPENMP
// libgomp's threads do not survive a fork, and starting them again in the child hangs.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

// Kept between calls, so that a small call does not pay for an allocation.
char* scratch_memory(Index bytes) {
  thread_local Memory memory;
  thread_local Index size = 0;
  if (size < bytes) {
    memory.reset();
    size = 0;
    memory.reset(static_cast<char*>(::operator new(std::size_t(bytes), kAlignment)));
    size = bytes;
  }
  return memory.get();
}

}  // namespace

int default_threads() {
#ifdef _OPENMP
  return forked ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

void run(Kernel kernel, const Task& task, Index units, Index bytes, int threads) {
  if (units == 0) return;
  const Index wanted = std::min({Index(threads), units, bytes / kBytesPerThread + 1});
  const Index share = std::max<Index>(64, (kernel(task, 0, 0, nullptr) + 63) / 64 * 64);
  char* scratch = scratch_memory(share * wanted);
#ifdef _OPENMP
  if (wanted > 1 && !forked) {
#pragma omp parallel num_threads(int(wanted))
    {
      const Index all = omp_get_num_threads(), mine = omp_get_thread_num();
      kernel(task, units * mine / all, units * (mine + 1) / all, scratch + share * mine);
    }
    return;
  }
#endif
  kernel(task, 0, units, scratch);
}

}  // namespace cenote
