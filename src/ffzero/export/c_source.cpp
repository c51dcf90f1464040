// Writing C.
// SPDX-License-Identifier: MIT
#include "ffzero/export/c_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

// Functions of the written file, each put there if it is called. FN stands for the prefix of all names.
struct Helper {
  const char* name;
  const char* text;
};

constexpr Helper kHelpers[] = {
    {"affine", R"c(
static void FN_affine(const float *w, const float *b, long inputs, long outputs, const float *x, float *y) {
  for (long i = 0; i < outputs; ++i) {
    float sum = 0.0f;
    for (long j = 0; j < inputs; ++j) sum += w[i * inputs + j] * x[j];
    y[i] = sum + b[i];
  }
}
)c"},
    {"convolution", R"c(
static void FN_convolution(const float *w, const float *b, const long *in, const long *out, long kernel, long stride, long padding,
                           const float *x, float *y) {
  for (long c = 0; c < out[0]; ++c)
    for (long i = 0; i < out[1]; ++i)
      for (long j = 0; j < out[2]; ++j) {
        float sum = b[c];
        for (long d = 0; d < in[0]; ++d)
          for (long u = 0; u < kernel; ++u) {
            const long row = i * stride + u - padding;
            if (row < 0 || row >= in[1]) continue;
            for (long v = 0; v < kernel; ++v) {
              const long column = j * stride + v - padding;
              if (column < 0 || column >= in[2]) continue;
              sum += w[((c * in[0] + d) * kernel + u) * kernel + v] * x[(d * in[1] + row) * in[2] + column];
            }
          }
        *y++ = sum;
      }
}
)c"},
    {"relu", R"c(
static void FN_relu(float *x, long n) {
  for (long i = 0; i < n; ++i)
    if (x[i] < 0.0f) x[i] = 0.0f;
}
)c"},
    {"tanh", R"c(
static void FN_tanh(float *x, long n) {
  for (long i = 0; i < n; ++i) x[i] = tanhf(x[i]);
}
)c"},
    {"unit_length", R"c(
static void FN_unit_length(float *x, long n, long groups, int centred) {
  const long size = n / groups;
  for (long g = 0; g < groups; ++g, x += size) {
    float before = 0.0f, mean = 0.0f, squares = 0.0f;
    for (long i = 0; i < size; ++i) before += x[i] * x[i];
    if (centred) {
      for (long i = 0; i < size; ++i) mean += x[i];
      mean /= (float)size;
    }
    for (long i = 0; i < size; ++i) squares += (x[i] - mean) * (x[i] - mean);
    /* Equal numbers leave only the rounding of their mean. */
    const float factor = squares > 1e-12f * before ? 1.0f / sqrtf(squares) : 0.0f;
    for (long i = 0; i < size; ++i) x[i] = (x[i] - mean) * factor;
  }
}
)c"},
    {"max_pool", R"c(
static void FN_max_pool(const long *in, const long *out, long size, long stride, const float *x, float *y) {
  for (long c = 0; c < out[0]; ++c)
    for (long i = 0; i < out[1]; ++i)
      for (long j = 0; j < out[2]; ++j) {
        const float *window = x + (c * in[1] + i * stride) * in[2] + j * stride;
        float largest = window[0];
        for (long u = 0; u < size; ++u)
          for (long v = 0; v < size; ++v)
            if (window[u * in[2] + v] > largest) largest = window[u * in[2] + v];
        *y++ = largest;
      }
}
)c"},
    {"mean_pool", R"c(
/* rows, columns: first and one past the last input of each cell */
static void FN_mean_pool(const long *in, const long *out, const long *rows, const long *columns, const float *x, float *y) {
  for (long c = 0; c < out[0]; ++c, x += in[1] * in[2])
    for (long i = 0; i < out[1]; ++i)
      for (long j = 0; j < out[2]; ++j) {
        float sum = 0.0f;
        for (long u = rows[2 * i]; u < rows[2 * i + 1]; ++u)
          for (long v = columns[2 * j]; v < columns[2 * j + 1]; ++v) sum += x[u * in[2] + v];
        *y++ = sum / (float)((rows[2 * i + 1] - rows[2 * i]) * (columns[2 * j + 1] - columns[2 * j]));
      }
}
)c"},
    {"projection", R"c(
static void FN_projection(const float *matrices, long channels, long plane, long size, const float *x, float *y) {
  for (long c = 0; c < channels; ++c, x += plane)
    for (long i = 0; i < size; ++i) {
      float sum = 0.0f;
      for (long j = 0; j < plane; ++j) sum += matrices[(c * size + i) * plane + j] * x[j];
      *y++ = sum;
    }
}
)c"},
    {"prototype_scores", R"c(
/* columns: classes or targets of the network; several groups add up */
static void FN_prototype_scores(const float *prototypes, long groups, long classes, long size, float least, const float *z, float *scores,
                                long columns) {
  for (long k = 0; k < columns; ++k) scores[k] = 0.0f;
  for (long g = 0; g < groups; ++g, z += size) {
    float squares = 0.0f;
    for (long i = 0; i < size; ++i) squares += z[i] * z[i];
    float length = sqrtf(squares);
    if (length < least) length = least;
    for (long k = 0; k < classes; ++k, prototypes += size) {
      float sum = 0.0f;
      for (long i = 0; i < size; ++i) sum += prototypes[i] * z[i];
      scores[(g * classes + k) % columns] += length > 0.0f ? sum / length : 0.0f;
    }
  }
}
)c"},
    {"readout_scores", R"c(
static void FN_readout_scores(const float *w, const float *b, long size, const float *z, float *scores, long columns) {
  float mean = 0.0f;
  for (long i = 0; i < size; ++i) mean += z[i];
  mean /= (float)size;
  for (long k = 0; k < columns; ++k) {
    float sum = 0.0f;
    for (long i = 0; i < size; ++i) sum += w[k * size + i] * z[i];
    scores[k] = (mean != 0.0f ? sum / mean : sum) + b[k];
  }
}
)c"},
    {"largest", R"c(
static int FN_largest(const float *scores, int columns) {
  int best = 0;
  for (int k = 1; k < columns; ++k)
    if (scores[k] > scores[best]) best = k;
  return best;
}
)c"},
    {"log_softmax", R"c(
static void FN_add_log_softmax(const float *scores, float temperature, float *sums, int columns) {
  float largest = scores[0], total = 0.0f;
  for (int k = 1; k < columns; ++k)
    if (scores[k] > largest) largest = scores[k];
  for (int k = 0; k < columns; ++k) total += expf((scores[k] - largest) / temperature);
  for (int k = 0; k < columns; ++k) sums[k] += (scores[k] - largest) / temperature - logf(total);
}
)c"},
};

std::string number(double value) {
  std::string text = fmt::format("{}", static_cast<float>(value));
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text + "f";
}

std::string plain_name(const std::string& text) {
  std::string name;
  for (const char c : text) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

// A string literal of C that holds these bytes and ends no comment.
std::string literal(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += c == '"' || c == '\\'                    ? std::string("\\") + c
           : byte < 0x20 || byte > 0x7e || c == '?' ? fmt::format("\\{:03o}", byte)
                                                    : std::string(1, c);
  }
  return out + "\"";
}

class Writer {
 public:
  Writer(const NetworkGraph& graph, std::string name) : graph_(graph), name_(std::move(name)) {}

  std::string text() {
    std::string body = steps();
    return opening() + data_ + helpers() + "\n" + signature() + " {\n" + body + "}\n\n#endif\n";
  }

 private:
  [[nodiscard]] bool classifies() const { return graph_.task == Task::classification; }
  [[nodiscard]] bool votes() const { return graph_.rule != VoteRule::last; }
  [[nodiscard]] std::string upper() const {
    std::string text = name_;
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
  }
  // The name of a helper, which is then written.
  std::string helper(const std::string& which) {
    helpers_.insert(which);
    return name_ + "_" + which;
  }

  template <class Values>
  std::string array(const std::string& which, const char* type, Index size, const Values& value) {
    const std::string called = name_ + "_" + plain_name(which);
    data_ += fmt::format("static const {} {}[{}] = {{", type, called, size);
    for (Index i = 0; i < size; ++i) data_ += fmt::format("{}{}{}", i == 0 ? "" : ",", i % 12 == 0 ? "\n  " : " ", value(i));
    data_ += "\n};\n";
    return called;
  }
  std::string floats(const std::string& which, const float* values, Index size) {
    return array(which, "float", size, [&](Index i) { return number(static_cast<double>(values[i])); });
  }
  std::string cells(const std::string& which, const std::vector<PoolCell>& list) {
    return array(which, "long", 2 * isize(list.size()), [&](Index i) {
      const PoolCell& cell = list[usize(i / 2)];
      return std::to_string(i % 2 == 0 ? cell.begin : cell.end);
    });
  }
  static std::string shape(const Shape& s) { return fmt::format("(const long[]){{{}, {}, {}}}", s.channels, s.height, s.width); }

  void need(Index numbers) { widest_ = std::max(widest_, numbers); }

  // One operation from the numbers at `from`; where its result is: at `to`, or in place.
  std::string operation(const Operation& op, const std::string& from, const std::string& to, bool& in_place) {
    need(op.input.size());
    need(op.output.size());
    in_place = false;
    if (const auto* affine = std::get_if<AffineOperation>(&op.what))
      return fmt::format("  {}({}, {}, {}, {}, {}, {});\n", helper("affine"),
                         floats(op.name + "_weight", affine->weight.data(), affine->weight.size()),
                         floats(op.name + "_bias", affine->bias.data(), affine->bias.size()), op.input.size(), op.output.size(), from, to);
    if (const auto* conv = std::get_if<ConvolutionOperation>(&op.what))
      return fmt::format("  {}({}, {}, {}, {}, {}, {}, {}, {}, {});\n", helper("convolution"),
                         floats(op.name + "_weight", conv->weight.data(), conv->weight.size()),
                         floats(op.name + "_bias", conv->bias.data(), conv->bias.size()), shape(op.input), shape(op.output), conv->kernel,
                         conv->stride, conv->padding, from, to);
    if (const auto* pool = std::get_if<MaxPoolOperation>(&op.what))
      return fmt::format("  {}({}, {}, {}, {}, {}, {});\n", helper("max_pool"), shape(op.input), shape(op.output), pool->size, pool->stride,
                         from, to);
    if (const auto* means = std::get_if<MeanPoolOperation>(&op.what)) {
      const std::string rows = cells(op.name + "_rows", means->rows), columns = cells(op.name + "_columns", means->columns);
      return fmt::format("  {}({}, {}, {}, {}, {}, {});\n", helper("mean_pool"), shape(op.input), shape(op.output), rows, columns, from,
                         to);
    }
    if (const auto* projection = std::get_if<ProjectionOperation>(&op.what))
      return fmt::format("  {}({}, {}, {}, {}, {}, {});\n", helper("projection"),
                         floats(op.name + "_matrices", projection->matrices.data(), projection->matrices.size()), op.input.channels,
                         op.input.height * op.input.width, projection->size, from, to);
    in_place = true;
    if (const auto* length = std::get_if<LengthOperation>(&op.what))
      return fmt::format("  {}({}, {}, {}, {});\n", helper("unit_length"), from, op.input.size(), length->groups, length->centred ? 1 : 0);
    return fmt::format("  {}({}, {});\n", helper(std::holds_alternative<TanhOperation>(op.what) ? "tanh" : "relu"), from, op.input.size());
  }

  // Operations one after another on the numbers at `at_`; the other half of the ground is free.
  std::string move_on(const std::vector<Operation>& list, Index first, Index last) {
    std::string text;
    for (Index i = first; i < last; ++i) {
      bool in_place = false;
      text += operation(list[usize(i)], at_, at_ == "a" ? "b" : "a", in_place);
      if (!in_place) at_ = at_ == "a" ? "b" : "a";
    }
    return text;
  }

  std::string scores(const GraphLayer& layer) {
    std::string text, z = at_;
    if (layer.readout) {
      bool in_place = false;
      text += operation(*layer.readout, at_, "z", in_place);
      z = in_place ? at_ : "z";
    }
    if (const auto* prototypes = std::get_if<PrototypeScoring>(&*layer.scoring)) {
      const Matrix<float>& p = prototypes->prototypes;
      text += fmt::format("  {}({}, {}, {}, {}, {}, {}, s, {});\n", helper("prototype_scores"),
                          floats(layer.name + "_prototypes", p.data(), p.size()), prototypes->groups, prototypes->classes, p.cols(),
                          number(prototypes->floor), z, graph_.columns);
      groups_ = std::max<Index>(1, prototypes->groups * prototypes->classes / graph_.columns);
    } else if (const auto* readout = std::get_if<ReadoutScoring>(&*layer.scoring)) {
      text += fmt::format("  {}({}, {}, {}, {}, s, {});\n", helper("readout_scores"),
                          floats(layer.name + "_readout_weight", readout->weight.data(), readout->weight.size()),
                          floats(layer.name + "_readout_bias", readout->bias.data(), readout->bias.size()), readout->weight.cols(), z,
                          graph_.columns);
      groups_ = 1;
    } else {
      text += fmt::format("  for (int k = 0; k < {}; ++k) s[k] = {}[k];\n", graph_.columns, z);
      groups_ = 1;
    }
    return text;
  }

  // What the vote keeps of a layer's scores `s`.
  std::string say(Index voter, bool last) {
    const std::string columns = std::to_string(graph_.columns);
    const std::string counted =
        fmt::format("  k = {}(s, {});\n  votes[k] += 1.0f;\n  ranks[k] += {}.0f;\n", name_ + "_largest", columns, voter);
    switch (graph_.rule) {
      case VoteRule::sum:
        return fmt::format("  for (k = 0; k < {}; ++k) votes[k] += s[k];\n", columns);
      case VoteRule::sum_log_softmax:
        helpers_.insert("log_softmax");
        return fmt::format("  {}_add_log_softmax(s, {}, votes, {});\n", name_, number(graph_.temperature), columns);
      case VoteRule::majority:
        return counted;
      case VoteRule::majority_early:
        return last ? fmt::format("  for (k = 0; k < {}; ++k) ranks[k] = s[k];\n", columns) : counted;
      case VoteRule::last:
        break;
    }
    return {};
  }

  std::string steps() {
    std::string text = encoding();
    if (classifies()) helpers_.insert("largest");
    Index voter = 0, voters = 0;
    for (const GraphLayer& layer : graph_.layers) voters += layer.scoring ? 1 : 0;
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      const GraphLayer& layer = graph_.layers[i];
      text += fmt::format("  /* {} */\n", plain_name(layer.name)) + move_on(layer.map, 0, isize(layer.map.size()));
      text += move_on(layer.passed_on, 0, layer.scored_after);
      if (layer.scoring) {
        text += scores(layer);
        if (votes()) text += say(voter, voter + 1 == voters) + add_to_mean(voters);
        ++voter;
      }
      if (i + 1 < graph_.layers.size()) text += move_on(layer.passed_on, layer.scored_after, isize(layer.passed_on.size()));
    }
    return declarations() + text + decision();
  }

  // The mean over the layers that vote.
  [[nodiscard]] std::string add_to_mean(Index voters) const {
    const double share = 1.0 / static_cast<double>(voters * groups_);
    return fmt::format("  for (k = 0; k < {}; ++k) mean[k] += {} * s[k];\n", graph_.columns, number(share));
  }

  [[nodiscard]] std::string declarations() const {
    std::string text = fmt::format("  float *const a = workspace, *const b = a + {0}, *const z = b + {0}, *const s = z + {0};\n", widest_);
    if (votes())
      text +=
          fmt::format("  float *const votes = s + {0}, *const ranks = votes + {0}, *const mean = ranks + {0};\n  int k;\n", graph_.columns);
    text += "  (void)b;\n  (void)z;\n";
    if (votes()) text += fmt::format("  (void)ranks;\n  for (k = 0; k < {}; ++k) votes[k] = ranks[k] = mean[k] = 0.0f;\n", graph_.columns);
    return text;
  }

  [[nodiscard]] std::string decision() const {
    const std::string scale = groups_ > 1 ? fmt::format(" / {}", number(static_cast<double>(groups_))) : "";
    std::string text;
    if (!classifies()) {
      for (Index t = 0; t < graph_.columns; ++t) {
        const TargetScale& target = graph_.targets[usize(t)];
        text += fmt::format("  values[{0}] = {1} + {2} * (s[{0}]{3});\n", t, number(target.offset), number(target.scale), scale);
      }
      return text;
    }
    text = fmt::format("  if (scores)\n    for (int i = 0; i < {}; ++i) scores[i] = {};\n", graph_.columns,
                       votes() ? "mean[i]" : "s[i]" + scale);
    if (graph_.rule == VoteRule::last) return text + fmt::format("  return {}_largest(s, {});\n", name_, graph_.columns);
    if (graph_.rule == VoteRule::sum || graph_.rule == VoteRule::sum_log_softmax)
      return text + fmt::format("  return {}_largest(votes, {});\n", name_, graph_.columns);
    return text +
           fmt::format(
               "  int best = 0;\n  for (k = 1; k < {}; ++k)\n    if (votes[k] > votes[best] || (votes[k] == votes[best] && ranks[k] > "
               "ranks[best])) best = k;\n  return best;\n",
               graph_.columns);
  }

  // From a sample to the first layer's inputs, in a.
  std::string encoding() {
    const Shape& raw = graph_.raw;
    const InputWindow window = input_window(graph_);
    const Index n = window.shape.size();
    need(n);
    need(graph_.input.size());
    at_ = "a";
    std::string text = "  float *to = a;\n";
    std::string value = fmt::format("{}sample[i]", graph_.bytes ? "(float)" : "");
    if (!graph_.scale.empty()) {
      const std::string offset =
          array("features_offset", "float", raw.size(), [&](Index i) { return number(graph_.scale.offset[usize(i)]); });
      const std::string factor =
          array("features_factor", "float", raw.size(), [&](Index i) { return number(graph_.scale.factor[usize(i)]); });
      const std::string largest = number(FeatureScale::kLargestFeature);
      value = fmt::format("fmaxf(-{2}, fminf({2}, (sample[i] - {0}[i]) * {1}[i]))", offset, factor, largest);
    }
    text += fmt::format(
        "  for (long c = 0; c < {}; ++c)\n    for (long row = {}; row < {}; ++row)\n      for (long column = {}; column < {}; ++column) "
        "{{\n"
        "        const long i = (c * {} + row) * {} + column;\n        *to++ = {};\n      }}\n",
        raw.channels, window.top, window.top + window.shape.height, window.left, window.left + window.shape.width, raw.height, raw.width,
        value);
    if (graph_.bytes)
      text += fmt::format(
          "  float darkest = a[0], brightest = a[0];\n  for (long i = 0; i < {0}; ++i) {{\n    if (a[i] < darkest) darkest = a[i];\n"
          "    if (a[i] > brightest) brightest = a[i];\n  }}\n  const float low = darkest / 255.0f, range = brightest / 255.0f - low + "
          "1e-8f;\n"
          "  for (long i = 0; i < {0}; ++i) a[i] = (a[i] / 255.0f - low) / range;\n",
          n);
    if (window.pool) text += move_on({*window.pool}, 0, 1);
    return text;
  }

  [[nodiscard]] std::string signature() const {
    return fmt::format("static inline {} {}_predict(const {} *sample, float *{}, float *workspace)", classifies() ? "int" : "void", name_,
                       graph_.bytes ? "unsigned char" : "float", classifies() ? "scores" : "values");
  }

  [[nodiscard]] std::string opening() const {
    const std::string caps = upper();
    const Index workspace = 3 * widest_ + (votes() ? 4 : 1) * graph_.columns;
    std::string text = fmt::format(
        "/* A network trained by ffzero. Written by \"ffzero export --format c\".\n"
        " * sample: {1} {2}, planes row-major. {3}\n"
        " * workspace: {0}_WORKSPACE floats, used by one call at a time. Nothing is allocated; needs the C library's math functions. */\n"
        "#ifndef {0}_H\n#define {0}_H\n\n#include <math.h>\n\n#define {0}_INPUTS {1}\n#define {0}_OUTPUTS {4}\n#define {0}_WORKSPACE "
        "{5}\n\n",
        caps, graph_.raw.size(), graph_.bytes ? "pixels 0 .. 255" : "numbers as in the training data",
        classifies()
            ? fmt::format("Returns the class: {}_class() names it. scores: {} numbers, the larger the more likely, or a null pointer.",
                          name_, graph_.columns)
            : fmt::format("values: {} numbers, in the units of the training data.", graph_.columns),
        graph_.columns, workspace);
    if (!classifies()) return text;
    text += fmt::format("static inline const char *{}_class(int k) {{\n  static const char *const names[{}] = {{", name_, graph_.columns);
    for (std::size_t k = 0; k < graph_.classes.size(); ++k) text += (k == 0 ? "" : ", ") + literal(graph_.classes[k]);
    return text + "};\n  return names[k];\n}\n";
  }

  [[nodiscard]] std::string helpers() const {
    std::string text;
    for (const Helper& h : kHelpers) {
      if (!helpers_.contains(h.name)) continue;
      std::string function = h.text;
      for (std::size_t at = function.find("FN"); at != std::string::npos; at = function.find("FN", at + name_.size()))
        function.replace(at, 2, name_);
      text += function;
    }
    return text;
  }

  const NetworkGraph& graph_;
  std::string name_, data_, at_ = "a";
  std::set<std::string> helpers_;
  Index widest_ = 1;
  Index groups_ = 1;  ///< whose mean the scores are
};

}  // namespace

std::string c_source(const NetworkGraph& graph, const std::string& name) {
  const bool plain = !name.empty() && name == plain_name(name) && std::isdigit(static_cast<unsigned char>(name.front())) == 0;
  if (!plain)
    throw ConfigError("export --name", "must be an identifier of C: letters, digits and underscores, no digit first", "\"" + name + "\"",
                      "for example --name digits");
  return Writer(graph, name).text();
}

}  // namespace ffzero
