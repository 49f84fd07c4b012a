#include "parallel.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

namespace cenote {
namespace {

// A thread has to do or move this much for its start to be worth it: some ten microseconds; bytes
// are a guess, not tuned yet.
constexpr Index kMacsPerThread = 500'000, kBytesPerThread = 128 << 10;
constexpr std::align_val_t kAlignment{64};

struct Free {
  void operator()(char* memory) const { ::operator delete(memory, kAlignment); }
};
using Memory = std::unique_ptr<char, Free>;

bool forked = false;

// The size of the last cache that the cores share. The C library multiplies it by what it takes for
// the number of caches, and in a virtual machine can be ten times off; the kernel knows better.
Index size_of_last_cache() {
  Index found = 0;
#ifdef __linux__
  if (std::FILE* file = std::fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    long kilobytes = 0;
    if (std::fscanf(file, "%ldK", &kilobytes) == 1) found = Index(kilobytes) << 10;
    std::fclose(file);
  }
#endif
  return found > 0 ? found : Index(32) << 20;
}

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

// The scratch memory that a task takes. To work it out takes as long as a small task itself, and
// tasks repeat.
Index scratch_bytes(Kernel kernel, const Task& task) {
  struct Known {
    Kernel kernel;
    std::uint64_t recipe;
    Row read;
    bool streams, aligned, divides_sources;
    bool operator==(const Known&) const = default;
  };
  thread_local Known last = {};
  thread_local Index bytes = 0;
  const bool aligned = reinterpret_cast<std::uintptr_t>(task.output) % 64 == 0;
  const Known now = {kernel, task.recipe, task.read, task.streams, aligned, task.divides_sources};
  if (task.recipe == 0 || now != last) bytes = kernel(task, 0, 0, nullptr), last = now;
  return bytes;
}

}  // namespace

int default_threads() {
#ifdef _OPENMP
  return forked ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

void share_out(Work work, const void* context, Index units, Index threads, Index scratch) {
  const Index wanted = std::max<Index>(1, std::min(threads, units));
  const Index share = std::max<Index>(64, (scratch + 63) / 64 * 64);
  char* memory = scratch_memory(share * wanted);
#ifdef _OPENMP
  if (wanted > 1 && !forked) {
#pragma omp parallel num_threads(int(wanted))
    {
      const Index all = omp_get_num_threads(), mine = omp_get_thread_num();
      work(context, units * mine / all, units * (mine + 1) / all, memory + share * mine);
    }
    return;
  }
#endif
  work(context, 0, units, memory);
}

Index threads_for_macs(Index macs, int most) {
  return std::min<Index>(most, macs / kMacsPerThread + 1);
}

Index threads_for_bytes(Index bytes, int most) {
  return std::min<Index>(most, bytes / kBytesPerThread + 1);
}

void run(Kernel kernel, const Task& task, Index units, Index bytes, int threads) {
  if (units == 0) return;
  struct Both {
    Kernel kernel;
    const Task& task;
  } both = {kernel, task};
  const auto work = [](const void* context, Index begin, Index end, char* scratch) {
    const Both& b = *static_cast<const Both*>(context);
    b.kernel(b.task, begin, end, scratch);
  };
  share_out(work, &both, units, threads_for_bytes(bytes, threads), scratch_bytes(kernel, task));
}

void roof(const Kernels& kernels, const char* in, Index in_bytes, char* out, Index out_bytes,
          bool streams, int threads) {
  constexpr Index kLine = 64;
  const auto part = [&](Index mine, Index all) {
    const Index i0 = in_bytes / kLine * mine / all * kLine,
                i1 = in_bytes / kLine * (mine + 1) / all * kLine;
    const Index o0 = out_bytes / kLine * mine / all * kLine,
                o1 = out_bytes / kLine * (mine + 1) / all * kLine;
    kernels.move(in + i0, i1 - i0, out + o0, o1 - o0, streams);
  };
#ifdef _OPENMP
  if (threads > 1 && !forked) {
#pragma omp parallel num_threads(threads)
    part(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  part(0, 1);
}

bool beyond_caches(Index bytes) {
  static const Index last_cache = size_of_last_cache();
  return bytes > last_cache;
}

void before_writing([[maybe_unused]] void* output, [[maybe_unused]] Index bytes) {
#ifdef MADV_HUGEPAGE
  constexpr Index kLeast = Index(4) << 20;
  if (bytes < kLeast) return;
  static const std::uintptr_t page = std::uintptr_t(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(output) + page - 1) / page * page;
  const std::uintptr_t last =
      (reinterpret_cast<std::uintptr_t>(output) + std::size_t(bytes)) / page * page;
  // Only advice: where it is not taken, pages are small ones.
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace cenote
