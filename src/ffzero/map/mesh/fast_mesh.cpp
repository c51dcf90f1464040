// Batches, tiles and threads around the mesh kernel. Private to map/mesh.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/fast_mesh.hpp"

#include <algorithm>

#include "ffzero/map/mesh/scratch.hpp"

namespace ffzero::mesh_kernel {

namespace {

constexpr Index kCacheFloats = 256 * 1024;        // state of a tile: 1 MiB, half of a current second-level cache
constexpr Index kSlopeDoubles = 4 * 1024 * 1024;  // all shards' sums together: 32 MiB
constexpr Index kWorthForking = 16 * 1024;        // phases; below, waking threads costs more than packing

constexpr Index divide_up(Index a, Index b) { return (a + b - 1) / b; }

template <class Work>
void for_each(const Executor* executor, Index shards, Work&& work) {
  if (executor != nullptr && shards > 1) {
    executor->run(shards, work);
  } else {
    for (Index i = 0; i < shards; ++i) work(i);
  }
}

/// A contiguous part of the batch in bundles of `lanes` samples.
struct Tiling {
  Index lanes, bundles, tile;  // tile: bundles per tile
  [[nodiscard]] Index tiles() const noexcept { return divide_up(bundles, tile); }
  [[nodiscard]] Index first(Index t) const noexcept { return t * tile; }
  [[nodiscard]] Index count(Index t) const noexcept { return std::min(tile, bundles - t * tile); }
};

Index samples(const Tiling& tiling, Index rows, Index bundle) { return std::min(tiling.lanes, rows - bundle * tiling.lanes); }

/// Coefficients of all blocks for every set of phases, one after the other.
class PackedMesh {
 public:
  using Pack = Form (*)(const MeshLayout&, const Phases&, Index, float*);

  PackedMesh(const Kernel& kernel, const MeshLayout& layout, const Grid& grid, Pack pack, std::span<const Phases> phases,
             const Executor* executor)
      : block_size_(grid.positions() * kCoefficients),
        set_size_(block_size_ * grid.blocks),
        inputs_(divide_up(2 * layout.ports(), 32) * 32),
        memory_((set_size_ + inputs_) * isize(phases.size())),
        sets_(isize(phases.size())),
        forms_(divide_up(grid.blocks * isize(phases.size()), isize(sizeof(float)))) {
    const bool fork = layout.parameter_count() * sets_ >= kWorthForking;
    for_each(fork ? executor : nullptr, grid.blocks * sets_, [&](Index i) {
      form_data()[i] = pack(layout, phases[usize(i / grid.blocks)], i % grid.blocks, memory_.data() + i * block_size_);
    });
    for (Index s = 0; s < sets_; ++s) kernel.pack_input(layout, phases[usize(s)], memory_.data() + sets_ * set_size_ + s * inputs_);
  }
  [[nodiscard]] const float* block(Index set, Index b) const { return memory_.data() + set * set_size_ + b * block_size_; }
  [[nodiscard]] Form form(Index set, Index b) const { return form_data()[set * (set_size_ / block_size_) + b]; }
  [[nodiscard]] const float* input_phases(Index set) const { return memory_.data() + sets_ * set_size_ + set * inputs_; }

 private:
  [[nodiscard]] Form* form_data() const { return static_cast<Form*>(static_cast<void*>(forms_.data())); }

  Index block_size_, set_size_, inputs_;
  Scratch<float> memory_;
  Index sets_;
  Scratch<float> forms_;
};

/// Copies bundles of a batch into states.
void load_tile(const Kernel& kernel, const Grid& grid, const MeshLayout& layout, const Tiling& tiling, Index t, const Batch& x,
               float* states) {
  const Index state_size = grid.rows * 2 * tiling.lanes;
  for (Index b = 0; b < tiling.count(t); ++b) {
    const Index row = (tiling.first(t) + b) * tiling.lanes;
    kernel.load(grid, layout.ports(), x.re + row * x.stride, x.im + row * x.stride, x.stride, samples(tiling, x.rows, tiling.first(t) + b),
                states + b * state_size);
  }
}

void store_bundle(const Kernel& kernel, const Grid& grid, const MeshLayout& layout, const Tiling& tiling, Index bundle, Index rows,
                  const float* state, const Output& y) {
  const Index row = bundle * tiling.lanes;
  kernel.store(grid, layout.ports(), state, samples(tiling, rows, bundle), y.re + row * y.re_stride, y.re_stride,
               y.im == nullptr ? nullptr : y.im + row * y.im_stride, y.im_stride);
}

}  // namespace

void evaluate(const MeshLayout& layout, std::span<const Phases> phases, const Batch& x, std::span<const Output> y,
              const Executor* executor) {
  if (x.rows == 0) return;
  const Kernel& k = kernel();
  const Grid grid(layout, k.forward_width);
  const PackedMesh packed(k, layout, grid, k.pack_forward, phases, executor);
  const Index state_size = grid.rows * 2 * k.lanes;
  Tiling tiling{.lanes = k.lanes, .bundles = divide_up(x.rows, k.lanes), .tile = 1};
  // Lanes never meet, so the cut may follow the number of threads without a trace in the results.
  const Index threads = executor == nullptr ? 1 : executor->threads();
  tiling.tile = std::clamp(kCacheFloats / state_size, Index{1}, divide_up(tiling.bundles, threads));
  for_each(executor, tiling.tiles(), [&](Index t) {
    const Scratch<float> input(tiling.count(t) * state_size);
    const Scratch<float> states(phases.size() == 1 ? 1 : tiling.count(t) * state_size);
    load_tile(k, grid, layout, tiling, t, x, input.data());
    for (std::size_t set = 0; set < phases.size(); ++set) {
      float* const tile = phases.size() == 1 ? input.data() : states.data();
      for (Index b = 0; b < tiling.count(t); ++b) {
        k.rotate(grid, layout.ports(), packed.input_phases(isize(set)), false, input.data() + b * state_size, tile + b * state_size);
      }
      for (Index block = 0; block < grid.blocks; ++block) {
        for (Index b = 0; b < tiling.count(t); ++b) {
          k.sweep_forward(grid, packed.form(isize(set), block), packed.block(isize(set), block), tile + b * state_size);
        }
      }
      for (Index b = 0; b < tiling.count(t); ++b) {
        store_bundle(k, grid, layout, tiling, tiling.first(t) + b, x.rows, tile + b * state_size, y[set]);
      }
    }
  });
}

void pull_back(const MeshLayout& layout, const float* theta, const Batch& y, const Batch& gy, float* gtheta, const Output& gx,
               const Executor* executor) {
  if (y.rows == 0) return;
  const Kernel& k = kernel();
  const Grid grid(layout, k.backward_width);
  const Phases phases{.theta = theta};
  const PackedMesh packed(k, layout, grid, k.pack_backward, {&phases, 1}, executor);
  const Index state_size = grid.rows * 2 * k.lanes;
  const Index block_slopes = grid.positions() * 2;
  const Index all_slopes = grid.blocks * block_slopes + layout.ports();
  const Tiling tiling{.lanes = k.lanes, .bundles = divide_up(y.rows, k.lanes), .tile = 4};
  const Index shards = std::min(tiling.tiles(), std::clamp(kSlopeDoubles / all_slopes, Index{2}, Index{8}));
  const Scratch<double> slopes(shards * all_slopes);

  for_each(executor, shards, [&](Index s) {
    double* const sums = slopes.data() + s * all_slopes;
    std::fill_n(sums, all_slopes, 0.0);
    const Scratch<float> light(tiling.tile * state_size);
    const Scratch<float> gradient(tiling.tile * state_size);
    for (Index t = s * tiling.tiles() / shards; t < (s + 1) * tiling.tiles() / shards; ++t) {
      load_tile(k, grid, layout, tiling, t, y, light.data());
      load_tile(k, grid, layout, tiling, t, gy, gradient.data());
      for (Index block = grid.blocks - 1; block >= 0; --block) {
        for (Index b = 0; b < tiling.count(t); ++b) {
          k.sweep_backward(grid, packed.block(0, block), light.data() + b * state_size, gradient.data() + b * state_size,
                           sums + block * block_slopes);
        }
      }
      for (Index b = 0; b < tiling.count(t); ++b) {
        float* const g = gradient.data() + b * state_size;
        k.input_slopes(grid, layout.ports(), light.data() + b * state_size, g, sums + grid.blocks * block_slopes);
        if (gx.re == nullptr) continue;
        k.rotate(grid, layout.ports(), packed.input_phases(0), true, g, g);
        store_bundle(k, grid, layout, tiling, tiling.first(t) + b, y.rows, g, gx);
      }
    }
  });

  const auto total = [&](Index at) {
    double sum = 0.0;
    for (Index s = 0; s < shards; ++s) sum += slopes.data()[s * all_slopes + at];
    return sum;
  };
  const bool fork = layout.parameter_count() >= kWorthForking;
  for_each(fork ? executor : nullptr, grid.blocks, [&](Index block) {
    for (Index l = block * grid.width; l < std::min(layout.columns(), (block + 1) * grid.width); ++l) {
      const Index j = (block + 1) * grid.width - 1 - l;
      for (Index p = 0; p < layout.pairs(l); ++p) {
        const Index at = block * block_slopes + 2 * grid.position(MeshLayout::top_waveguide(l, p), j, 1);
        gtheta[layout.offset(l) + p] += static_cast<float>(0.5 * total(at));  // dt = dtheta / 2
        gtheta[layout.phi_begin() + layout.offset(l) + p] += static_cast<float>(total(at + 1));
      }
    }
  });
  for (Index w = 0; w < layout.ports(); ++w) {
    gtheta[layout.gamma_begin() + w] += static_cast<float>(total(grid.blocks * block_slopes + w));
  }
}

}  // namespace ffzero::mesh_kernel
