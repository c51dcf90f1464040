// Draws the built-in digits: strokes -> curves -> pixels -> ink. Compiled with -ffp-contract=off; no libm but the exact sqrt and floor.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/glyphs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/dataset/glyph_shapes.hpp"

namespace ffzero {

namespace {

// Parts of Stream::data; `split` is added, so each takes two numbers.
constexpr std::uint32_t kLabelPart = 16;
constexpr std::uint32_t kShapePart = 18;
constexpr std::uint32_t kNoisePart = 20;

// What varies from image to image. Ranges are uniform, sigmas normal; lengths in pixels unless said otherwise.
constexpr float kJitter = 4.2F;  // sigma of each control point, percent of the box
constexpr float kMinHeight = 17.5F, kMaxHeight = 22.0F;
constexpr float kMinAspect = 0.6F, kMaxAspect = 0.95F;  // width of the box over its height
constexpr float kSlant = 0.19F;                         // sigma of dx/dy
constexpr float kRotation = 0.1F;                       // sigma, radians
constexpr float kShift = 0.9F;                          // sigma of the centre
constexpr float kElastic = 0.75F;                       // sigma of the displacement at the nodes of the elastic field
constexpr float kMinRadius = 0.8F, kMaxRadius = 1.9F;   // half the width of the pen
constexpr float kPressure = 0.18F;                      // sigma of the pen's relative width at each control point
constexpr float kMinEdge = 0.8F, kMaxEdge = 2.2F;       // width of the soft edge
constexpr float kMaxBlur = 0.22F;                       // largest weight of a neighbour in the three-tap blur
constexpr float kMinInk = 0.60F, kMaxInk = 1.0F;
constexpr float kMaxPaper = 0.10F;  // largest brightness of the background
constexpr float kMaxNoise = 0.04F;  // largest sigma of the pixel noise

constexpr int kField = 5;  // nodes of the elastic field along each side
constexpr int kSteps = 6;  // straight pieces per curve piece

struct Point {
  float x;
  float y;
  float radius;
};

constexpr float lerp(float from, float to, float t) { return from + (to - from) * t; }

// cos and sin of |a| <= 1 by Taylor polynomials: the error is below the resolution of a pixel's byte, and no libm enters.
struct Turn {
  float cosine;
  float sine;
};
constexpr Turn turn_of(float a) {
  const float a2 = a * a;
  return {1.0F + a2 * (-0.5F + a2 * (1.0F / 24.0F - a2 / 720.0F)), a * (1.0F + a2 * (-1.0F / 6.0F + a2 * (1.0F / 120.0F - a2 / 5040.0F)))};
}

// The random numbers of one image, drawn in two calls and handed out one by one.
class Draws {
 public:
  explicit Draws(const RandomStream& stream) {
    stream.fill_uniform(std::span<float>(uniform_));
    stream.fill_normal(std::span<float>(normal_), isize(uniform_.size()));
  }
  float uniform(float from, float to) { return lerp(from, to, uniform_.at(next_uniform_++)); }
  // Cut at 2.5 sigma, so that no digit leaves the picture.
  float normal(float sigma) { return sigma * std::clamp(normal_.at(next_normal_++), -2.5F, 2.5F); }
  std::size_t choose(std::size_t n) { return std::min(n - 1, static_cast<std::size_t>(uniform(0.0F, static_cast<float>(n)))); }

 private:
  std::array<float, 16> uniform_{};
  std::array<float, 8 + 3 * kMaxGlyphPoints + 2 * kField * kField> normal_{};
  std::size_t next_uniform_ = 0;
  std::size_t next_normal_ = 0;
};

bool lifts(const GlyphPoint& p) { return p.x < 0; }
bool same(const GlyphPoint& a, const GlyphPoint& b) { return a.x == b.x && a.y == b.y; }

// Control points moved at random; points with equal coordinates move together. Radius: relative pressure of the pen.
std::vector<Point> jittered(GlyphShape shape, Draws& draws) {
  std::vector<Point> out;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto first = static_cast<std::size_t>(
        std::find_if(shape.begin(), shape.end(), [&](const GlyphPoint& p) { return same(p, shape[i]); }) - shape.begin());
    if (first < i) {
      out.push_back(out[first]);
    } else {
      const float x = shape[i].x + draws.normal(kJitter);
      const float y = shape[i].y + draws.normal(kJitter);
      out.push_back({x, y, 1.0F + draws.normal(kPressure)});
    }
  }
  return out;
}

Point catmull_rom(const Point& a, const Point& b, const Point& c, const Point& d, float t) {
  const auto blend = [t](float p, float q, float r, float s) {
    return q + 0.5F * t * ((r - p) + t * ((2.0F * p - 5.0F * q + 4.0F * r - s) + t * (3.0F * (q - r) + s - p)));
  };
  return {blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y), lerp(b.radius, c.radius, t)};
}

// One stroke (points first .. last of the shape) as a chain of short straight pieces.
std::vector<Point> flattened(std::span<const Point> stroke, bool closed) {
  const std::size_t n = stroke.size();
  std::vector<Point> out{stroke[0]};
  for (std::size_t i = 0; i + 1 < n; ++i) {
    const Point& before = i > 0 ? stroke[i - 1] : (closed ? stroke[n - 2] : stroke[0]);
    const Point& after = i + 2 < n ? stroke[i + 2] : (closed ? stroke[1] : stroke[n - 1]);
    for (int k = 1; k <= kSteps; ++k) {
      out.push_back(catmull_rom(before, stroke[i], stroke[i + 1], after, static_cast<float>(k) / static_cast<float>(kSteps)));
    }
  }
  return out;
}

// From the digit's box to pixels: aspect, slant, rotation, shift, then a smooth random displacement.
class Warp {
 public:
  explicit Warp(Draws& draws) {
    height_ = draws.uniform(kMinHeight, kMaxHeight) / 100.0F;
    width_ = height_ * draws.uniform(kMinAspect, kMaxAspect);
    radius_ = draws.uniform(kMinRadius, kMaxRadius);
    slant_ = draws.normal(kSlant);
    turn_ = turn_of(draws.normal(kRotation));
    centre_x_ = 0.5F * (kGlyphSide - 1) + draws.normal(kShift);
    centre_y_ = 0.5F * (kGlyphSide - 1) + draws.normal(kShift);
    for (auto& node : field_) node = {draws.normal(kElastic), draws.normal(kElastic), 0.0F};
  }
  Point operator()(const Point& p) const {
    const float v = (p.y - 50.0F) * height_;
    const float u = (p.x - 50.0F) * width_ - slant_ * v;
    const Point q{centre_x_ + turn_.cosine * u - turn_.sine * v, centre_y_ + turn_.sine * u + turn_.cosine * v, radius_ * p.radius};
    const Point shift = displacement(q);
    return {q.x + shift.x, q.y + shift.y, q.radius};
  }

 private:
  // Smooth interpolation between the nodes of the field.
  Point displacement(const Point& q) const {
    const auto [column, s] = cell(q.x);
    const auto [row, t] = cell(q.y);
    const Point* node = field_.data() + row * kField + column;
    const auto mix = [&](float Point::*axis) {
      return lerp(lerp(node[0].*axis, node[1].*axis, s), lerp(node[kField].*axis, node[kField + 1].*axis, s), t);
    };
    return {mix(&Point::x), mix(&Point::y), 0.0F};
  }
  static std::pair<int, float> cell(float pixel) {
    const float at = std::clamp(pixel * ((kField - 1) / static_cast<float>(kGlyphSide)), 0.0F, kField - 1.001F);
    const int index = static_cast<int>(at);
    const float f = at - static_cast<float>(index);
    return {index, f * f * (3.0F - 2.0F * f)};
  }

  float height_, width_, radius_, slant_, centre_x_, centre_y_;
  Turn turn_{};
  std::array<Point, kField * kField> field_{};
};

// For each pixel: how deep it lies inside the pen's trace (radius minus distance, negative outside).
using Picture = std::array<float, kGlyphPixels>;

void trace(Picture& depth, const Point& a, const Point& b) {
  const float reach = std::max(a.radius, b.radius) + kMaxEdge;
  const auto low = [&](float p, float q) { return std::max(0, static_cast<int>(std::floor(std::min(p, q) - reach))); };
  const auto high = [&](float p, float q) { return std::min(kGlyphSide - 1, static_cast<int>(std::floor(std::max(p, q) + reach)) + 1); };
  const float dx = b.x - a.x;
  const float dy = b.y - a.y;
  const float scale = 1.0F / std::max(dx * dx + dy * dy, 1e-6F);
  const int left = low(a.x, b.x);
  const int right = high(a.x, b.x);
  for (int y = low(a.y, b.y); y <= high(a.y, b.y); ++y) {
    const float py = static_cast<float>(y) - a.y;
    float* row = depth.data() + y * kGlyphSide;
    for (int x = left; x <= right; ++x) {
      const float px = static_cast<float>(x) - a.x;
      const float t = std::min(1.0F, std::max(0.0F, (px * dx + py * dy) * scale));
      const float ex = px - t * dx;
      const float ey = py - t * dy;
      row[x] = std::max(row[x], a.radius + t * (b.radius - a.radius) - std::sqrt(ex * ex + ey * ey));
    }
  }
}

Picture traced(GlyphShape shape, Draws& draws) {
  const std::vector<Point> points = jittered(shape, draws);
  const Warp warp(draws);
  Picture depth;
  depth.fill(-100.0F);
  for (std::size_t first = 0; first < shape.size(); ++first) {
    std::size_t end = first;
    while (end < shape.size() && !lifts(shape[end])) ++end;
    std::vector<Point> chain = flattened(std::span(points).subspan(first, end - first), same(shape[first], shape[end - 1]));
    for (Point& p : chain) p = warp(p);
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) trace(depth, chain[i], chain[i + 1]);
    first = end;
  }
  return depth;
}

// Depth to coverage 0 .. 1 through a soft edge.
void soften(Picture& picture, float edge) {
  for (float& value : picture) {
    const float t = std::min(1.0F, std::max(0.0F, value / edge + 0.5F));
    value = t * t * (3.0F - 2.0F * t);
  }
}

// Three taps (side, 1 - 2 side, side) along rows (stride 1) or columns (stride 28); the border repeats.
void blur(Picture& picture, float side, int along, int across) {
  for (int line = 0; line < kGlyphSide; ++line) {
    float* p = picture.data() + line * across;
    float before = p[0];
    for (int i = 0; i < kGlyphSide; ++i) {
      const float here = p[i * along];
      const float after = i + 1 < kGlyphSide ? p[(i + 1) * along] : here;
      p[i * along] = here + side * (before - 2.0F * here + after);
      before = here;
    }
  }
}

// Sum of the four bytes of a word: nearly normal, mean 510, sigma 147.8.
float noise_of(std::uint32_t word) {
  const std::uint32_t sum = (word & 0xFFU) + (word >> 8 & 0xFFU) + (word >> 16 & 0xFFU) + (word >> 24);
  return (static_cast<float>(sum) - 510.0F) * (1.0F / 147.8F);
}

Dataset split_of(std::uint64_t seed, GlyphSplit split, int count) {
  if (count < 0) throw ConfigError("glyphs", "the number of images must not be negative", std::to_string(count));
  std::vector<std::uint8_t> images(usize(Index{count} * kGlyphPixels));
  std::vector<std::int32_t> labels(usize(count));
  for (Index i = 0; i < count; ++i) {
    labels[usize(i)] = glyph_label(seed, split, i);
    draw_glyph(seed, split, i, std::span<std::uint8_t, kGlyphPixels>(images.data() + i * kGlyphPixels, kGlyphPixels));
  }
  DatasetInfo info;
  info.name = "glyphs";
  info.classes = 10;
  info.shape = {1, kGlyphSide, kGlyphSide};
  return {info, std::move(images), std::move(labels)};
}

}  // namespace

int glyph_label(std::uint64_t seed, GlyphSplit split, Index index) {
  std::array<std::uint32_t, 10> order{};
  RandomStream(seed, Stream::data, kLabelPart + static_cast<std::uint32_t>(split), static_cast<std::uint64_t>(index / 10))
      .permutation(order);
  return static_cast<int>(order[usize(index % 10)]);
}

void draw_glyph(std::uint64_t seed, GlyphSplit split, Index index, std::span<std::uint8_t, kGlyphPixels> image) {
  const auto part = static_cast<std::uint32_t>(split);
  const auto step = static_cast<std::uint64_t>(index);
  Draws draws(RandomStream(seed, Stream::data, kShapePart + part, step));
  const auto shapes = glyph_shapes(glyph_label(seed, split, index));
  Picture picture = traced(shapes[draws.choose(shapes.size())], draws);
  soften(picture, draws.uniform(kMinEdge, kMaxEdge));
  const float side = draws.uniform(0.0F, kMaxBlur);
  blur(picture, side, 1, kGlyphSide);
  blur(picture, side, kGlyphSide, 1);
  const float paper = draws.uniform(0.0F, kMaxPaper);
  const float ink = draws.uniform(kMinInk, kMaxInk);
  const float noise = draws.uniform(0.0F, kMaxNoise);
  std::array<std::uint32_t, kGlyphPixels> words{};
  RandomStream(seed, Stream::data, kNoisePart + part, step).fill_bits(words);
  for (std::size_t i = 0; i < picture.size(); ++i) {
    const float value = lerp(paper, ink, picture[i]) + noise * noise_of(words[i]);
    image[i] = static_cast<std::uint8_t>(std::min(1.0F, std::max(0.0F, value)) * 255.0F + 0.5F);
  }
}

Splits make_glyphs(std::uint64_t seed, int train, int test) {
  return {split_of(seed, GlyphSplit::train, train), {}, split_of(seed, GlyphSplit::test, test)};
}

}  // namespace ffzero
