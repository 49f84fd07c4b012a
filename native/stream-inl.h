// Output that is more than the caches hold goes past them: a store to a line that is not there
// would read it first.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

constexpr Index kLine = 64;  // bytes

// `count` whole lines to an address that is a multiple of their size.
inline void stream_lines(const char* from, char* to, Index count) {
#if defined(__AVX512F__)
  for (Index x = 0; x < count * kLine; x += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + x), _mm512_loadu_si512(from + x));
#elif defined(__AVX__)
  for (Index x = 0; x < count * kLine; x += 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + x),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + x)));
#elif defined(__x86_64__)
  for (Index x = 0; x < count * kLine; x += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + x),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + x)));
#else
  __builtin_memcpy(to, from, std::size_t(count * kLine));
#endif
}

// Streamed stores wait in buffers of the processor until this.
inline void end_of_stream() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Whether slices of so many lanes, and their pixels, all start where vectors start, and nothing
// stands between the lanes and the output: then they can be streamed from registers.
template <class T>
inline bool streams_vectors(const Task& task, Index slice) {
  const Geometry& g = task.geometry;
  return task.streams && !task.write && g.rank > 1 && slice % kLanes<T> == 0 &&
         (g.inner < kLanes<T> || g.inner % kLanes<T> == 0) &&
         reinterpret_cast<std::uintptr_t>(task.output) % kLine == 0;
}

// Where lanes are written: the output itself, or scratch memory that goes there as elements, or
// past the caches. What is written follows what was written before.
template <class T>
class Destination {
 public:
  Destination(const Task& task, Index most, bool straight, Arena& arena)
      : task_(task), straight_(straight) {
    if (task.write) lanes_ = arena.take<T>(most);
    if (task.streams && !straight) stage_ = arena.take<char>(kStage + most * task.output_bytes);
  }
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;
  ~Destination() {
    if (stage_) {
      flush();
      if (used_ > head_) __builtin_memcpy(to_ + head_, stage_ + head_, std::size_t(used_ - head_));
    }
    if (stage_ || straight_) end_of_stream();
  }

  // Room for lanes that belong at element x of the output.
  T* lanes(Index x) {
    if (task_.write) return lanes_;
    return reinterpret_cast<T*>(elements(x));
  }
  void done(Index x, Index count) {
    if (task_.write) task_.write(lanes_, elements(x), count, task_.conversion);
    if (!stage_) return;
    used_ += count * task_.output_bytes;
    if (used_ >= kStage) flush();
  }

 private:
  static constexpr Index kStage = 1024;

  char* elements(Index x) {
    char* output = static_cast<char*>(task_.output) + x * task_.output_bytes;
    if (!stage_) return output;
    if (used_ == 0) {  // lines of the stage are lines of the output
      head_ = used_ = Index(reinterpret_cast<std::uintptr_t>(output) % kLine);
      to_ = output - head_;
    }
    return stage_ + used_;
  }

  // The whole lines of the stage go where they belong, and the rest to its front.
  void flush() {
    const Index lines = used_ / kLine, left = used_ % kLine;
    if (lines == 0) return;
    const Index skip = head_ > 0;
    if (skip) __builtin_memcpy(to_ + head_, stage_ + head_, std::size_t(kLine - head_));
    stream_lines(stage_ + skip * kLine, to_ + skip * kLine, lines - skip);
    __builtin_memcpy(stage_, stage_ + lines * kLine, std::size_t(left));
    to_ += lines * kLine;
    used_ = left, head_ = 0;
  }

  const Task& task_;
  const bool straight_;  // whether whoever writes takes care of streaming
  T* lanes_ = nullptr;
  char* stage_ = nullptr;
  char* to_ = nullptr;         // where the front of the stage belongs
  Index used_ = 0, head_ = 0;  // bytes in it; of these, at its front, that are others'
};

// Reads all of the input and writes all of the output, as evenly mixed as can be: what moving them
// costs at least.
inline void move(const char* in, Index in_bytes, char* out, Index out_bytes, bool streams) {
  using V = typename VecOf<std::uint32_t, 16>::type;
  V seen = {};
  Index written = 0;
  constexpr Index kBlock = 4096;
  for (Index at = 0; at < in_bytes; at += kBlock) {
    const Index stop = min(in_bytes, at + kBlock);
    for (Index x = at; x + kLine <= stop; x += kLine) seen |= load<V>(in + x);
    char lines[kLine];
    store(lines, seen);
    const Index due = Index(double(out_bytes) * double(stop) / double(in_bytes)) / kLine * kLine;
    for (; written < due; written += kLine) {
      if (streams)
        stream_lines(lines, out + written, 1);
      else
        store(out + written, seen);
    }
  }
  end_of_stream();
}

}  // namespace cenote::CENOTE_TARGET
