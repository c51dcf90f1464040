// Settings: layers of sources, what "auto" means, refusals in one line, and the resolved file.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/config.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <array>

#include "ffzero/base/error.hpp"
#include "ffzero/settings/presets.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

constexpr DataFacts kImages{.regression = false, .classes = 10, .train_size = 1000};
constexpr DataFacts kFunction{.regression = true, .classes = 1, .train_size = 1000};

Config parse(const std::string& toml, std::vector<std::pair<std::string, std::string>> overrides = {}) {
  return Config::parse(toml, "a.toml", {.file = {}, .overrides = std::move(overrides)});
}

Config resolved_toml(const std::string& toml, const DataFacts& facts = kImages) {
  Config config = parse(toml);
  config.resolve(facts);
  return config;
}

std::string refusal(const std::string& toml, const DataFacts& facts = kImages) {
  const std::string message = message_of<ConfigError>([&] { resolved_toml(toml, facts); });
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  for (const auto& part : parts) EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" in: " << message;
}

TEST(Config, SourcesCoverOneAnotherWeakestFirst) {
  EXPECT_EQ(parse("").values().integer("training.batch_size"), 64);                          // preset default
  EXPECT_EQ(parse("preset = \"paper\"").values().integer("training.batch_size"), 256);       // table
  EXPECT_EQ(parse("training.batch_size = 32").values().integer("training.batch_size"), 32);  // file
  EXPECT_EQ(parse("training.batch_size = 32", {{"training.batch_size", "8"}}).values().integer("training.batch_size"), 8);  // --set
  EXPECT_EQ(parse("", {{"dataset.name", "mnist"}}).values().word("dataset.name"), "mnist") << "bare words are texts";
}

TEST(Config, TheCommandLineTakesOtherSpellingsThanToml) {
  const auto said = [](const std::string& key, const std::string& text) { return parse("", {{key, text}}).values().at(key); };
  for (const char* text : {".06", "+.06", "6.e-2", "0.06"}) EXPECT_EQ(said("model.mesh.chip.coupler", text), 0.06) << text;
  EXPECT_EQ(said("update.lr", "5."), 5.0);
  EXPECT_EQ(said("update.lr", "measured"), "measured");
  EXPECT_EQ(said("training.log_test", "False"), false);
  EXPECT_EQ(said("model.layers", "10,20"), nlohmann::json::array({10, 20}));
  EXPECT_EQ(said("dataset.dir", ".5"), ".5") << "a text stays one";
  for (const auto& [key, text] : std::vector<std::pair<std::string, std::string>>{{"update.lr", "1e-3x"},
                                                                                  {"update.lr", "1e999"},
                                                                                  {"training.log_test", "yes"},
                                                                                  {"model.layers", "10,twenty"},
                                                                                  {"training.epochs", "5."}}) {
    SCOPED_TRACE(key + " = " + text);
    expect_parts(message_of<ConfigError>([&, key = key, text = text] { (void)said(key, text); }), {key, text});
  }
}

TEST(Config, PresetsAverageNoSmallerMapsThanThereAre) {
  const auto pool = [](const std::string& more, const Shape& sample, std::vector<std::pair<std::string, std::string>> overrides = {}) {
    Config config = parse("[model]\nkind = \"cnn\"\n" + more, std::move(overrides));
    config.resolve({.classes = 10, .train_size = 1000, .sample = sample});
    return config.values().integer("model.conv.projection_pool");
  };
  const Index usual = pool("", {1, 28, 28});
  EXPECT_EQ(pool("", {1, 28, 28}), usual);
  EXPECT_EQ(pool("", {1, 10, 20}), 2) << "10 -> 10 -> pooled 5 -> 5 -> pooled 2";
  EXPECT_EQ(pool("local_loss_at = \"pre\"", {1, 10, 10}), 5);
  EXPECT_EQ(pool("", {1, 28, 28}, {{"dataset.downsample", "8"}}), 2) << "what counts is the encoded image";
  EXPECT_EQ(pool("conv.projection_pool = 7", {1, 10, 10}), 7) << "the user's own number is left for the layers to refuse";
  EXPECT_EQ(pool("", {1, 2, 2}), 1) << "layers that do not fit are refused for what they are";
}

constexpr DataFacts table_of(Index samples, Index features, Index classes = 3) {
  return {.regression = classes == 1, .classes = classes, .train_size = samples, .images = false, .sample = {1, 1, features}};
}

Index steps_of(const Values& v, Index samples) {
  const Index batch = v.integer("training.batch_size");
  return v.integer("training.epochs") * ((samples + batch - 1) / batch);
}

TEST(Config, TablesGetOneWideLayerAndTheStepsThatLearningNeeds) {
  const std::string exact = "gradient.estimator = \"adjoint\"\n", directional = "gradient.estimator = \"directional\"\n";
  for (const Index samples : {2, 7, 50, 128, 1000, 30000, 1000000})
    for (const Index features : {2, 13, 10000})
      for (const Index classes : {1, 3})
        for (const std::string& solver : {std::string(), exact, directional}) {
          const DataFacts facts = table_of(samples, features, classes);
          const Values v = resolved_toml(solver, facts).values();
          const std::string what = fmt::format("{}{} x {}, {} classes", solver, samples, features, classes);
          EXPECT_EQ(v.integers("model.layers").size(), 1U) << what;
          EXPECT_LE(v.integer("training.batch_size"), samples) << what;
          EXPECT_GE(steps_of(v, samples), solver == directional ? 7500 : 2000) << what;
          EXPECT_LE(steps_of(v, samples), 100000) << what;
          if (!v.at("model.pca").empty()) {
            EXPECT_LE(v.integers("model.pca").front(), features) << what;
          }
        }
  EXPECT_EQ(resolved_toml(exact + "objective.scope = \"end_to_end\"", table_of(128, 13)).values().integers("model.layers"),
            (std::vector<std::int64_t>{400, 3}));
}

// Many steps on few noisy targets over-fit; on batches of a thirty-second of them they do so less.
TEST(Config, TablesOfTargetsGetSmallerBatchesThanTablesOfClasses) {
  const auto batch = [](const std::string& toml, Index samples, Index classes) {
    return resolved_toml(toml, table_of(samples, 10, classes)).values().integer("training.batch_size");
  };
  EXPECT_EQ(batch("", 200, 1), 8);
  EXPECT_EQ(batch("", 1000, 1), 31);
  EXPECT_EQ(batch("", 5, 1), 5);
  EXPECT_EQ(batch("", 100000, 1), 64);
  EXPECT_EQ(batch("", 200, 3), 50);
  EXPECT_EQ(batch("gradient.estimator = \"directional\"", 200, 1), batch("gradient.estimator = \"directional\"", 200, 3));
}

TEST(Config, DirectionsPassOverTargetsOftenAsFarAsStepsAllow) {
  const auto epochs = [](Index samples, Index classes) {
    return resolved_toml("gradient.estimator = \"directional\"", table_of(samples, 10, classes)).values().integer("training.epochs");
  };
  EXPECT_EQ(epochs(320, 1), 600);
  EXPECT_EQ(epochs(1600, 1), 300) << "30000 steps";
  EXPECT_EQ(epochs(320, 3), 375) << "7500 steps";
  EXPECT_EQ(epochs(32, 1), 1875) << "7500 steps are the least";
}

TEST(Config, WhatTheUserSaidAboutATableStands) {
  const Values v = resolved_toml("model.layers = [30, 20]\n[training]\nepochs = 3\nbatch_size = 50", table_of(128, 13)).values();
  EXPECT_EQ(v.integers("model.layers"), (std::vector<std::int64_t>{30, 20}));
  EXPECT_EQ(v.integer("training.epochs"), 3);
  EXPECT_EQ(v.integer("training.batch_size"), 50);
}

TEST(Config, ThousandsOfImagesAndTheFunctionsKeepThePresetsWords) {
  const DataFacts glyphs{.regression = false, .classes = 10, .train_size = 10000, .images = true, .sample = {1, 28, 28}};
  DataFacts function = table_of(10000, 2, 1);
  for (const auto& [toml, facts] : {std::pair(std::string(), glyphs), std::pair(std::string("dataset.name = \"function1\""), function)}) {
    const Values v = resolved_toml(toml, facts).values();
    EXPECT_EQ(v.integers("model.layers"), (std::vector<std::int64_t>{400, 400})) << toml;
    EXPECT_EQ(v.integer("training.epochs"), 15) << toml;
    EXPECT_EQ(v.integer("training.batch_size"), 64) << toml;
  }
}

// A narrow last layer of a small set may be many points worse than the one before it.
TEST(Config, TheBestLayerDecidesForTablesAndSmallSets) {
  const auto images = [](Index samples) {
    return DataFacts{.regression = false, .classes = 10, .train_size = samples, .images = true, .sample = {1, 8, 8}};
  };
  EXPECT_EQ(resolved_toml("", table_of(5000, 13)).values().word("vote.layer"), "best");
  EXPECT_EQ(resolved_toml("", images(1999)).values().word("vote.layer"), "best");
  EXPECT_EQ(resolved_toml("", images(2000)).values().word("vote.layer"), "last");
  EXPECT_EQ(resolved_toml("preset = \"paper\"", images(500)).values().word("vote.layer"), "last");
  EXPECT_EQ(resolved_toml("vote.layer = \"last\"", images(500)).values().word("vote.layer"), "last");
}

// Rectified outputs that are few leave a layer at chance now and then: its loss looks at what comes before.
TEST(Config, NarrowLayersLookBeforeTheNonlinearity) {
  const auto looks = [](const std::string& toml, const DataFacts& facts, Index layer) {
    const Config config = resolved_toml(toml, facts);
    const Config again = resolved_toml(config.to_toml(), facts);
    EXPECT_EQ(again.to_toml(), config.to_toml()) << toml;
    EXPECT_EQ(again.layer_values(layer).word("model.local_loss_at"), config.layer_values(layer).word("model.local_loss_at")) << toml;
    return config.layer_values(layer).word("model.local_loss_at");
  };
  const DataFacts three = table_of(100, 13, 3), numbers = table_of(100, 13, 1),
                  two = {.regression = true, .classes = 2, .train_size = 100, .images = false, .sample = {1, 1, 13}};
  EXPECT_EQ(looks("model.layers = [40, 8]", three, 0), "post");
  EXPECT_EQ(looks("model.layers = [40, 8]", three, 1), "pre");
  EXPECT_EQ(looks("model.layers = [40, 9]", three, 1), "post");
  EXPECT_EQ(looks("model.layers = [40, 20]\nmodel.groups = 4", three, 1), "pre") << "groups are what counts";
  EXPECT_EQ(looks("model.layers = [40, 20]\n[[layer]]\nindex = 1\nmodel.groups = 4", three, 1), "pre");
  EXPECT_EQ(looks("model.layers = [11]", numbers, 0), "pre");
  EXPECT_EQ(looks("model.layers = [12]", numbers, 0), "post");
  EXPECT_EQ(looks("model.layers = [22]", two, 0), "pre") << "eleven for each target";
  EXPECT_EQ(looks("model.layers = [40, 5]\nmodel.local_loss_at = \"post\"", three, 1), "post") << "what the user said stands";
  EXPECT_EQ(looks("model.layers = [40, 5]\n[[layer]]\nindex = 1\nmodel.local_loss_at = \"post\"", three, 1), "post");
  EXPECT_EQ(looks("model.layers = [40, 5]\n[[layer]]\nindex = 1\ntraining.epochs = 3", three, 1), "pre");
  EXPECT_EQ(looks("model.kind = \"cnn\"\nmodel.layers = [40, 5]", {.classes = 3, .train_size = 100, .sample = {1, 28, 28}}, 2 + 1), "pre");
}

TEST(Config, ARuleChosenByValidationNeedsSamplesForIt) {
  expect_parts(refusal("vote.rule = \"validated\""), {"a.toml: vote.rule", "validation samples", "\"validated\"", "dataset.validation"});
  EXPECT_EQ(resolved_toml("vote.rule = \"validated\"\n[dataset]\nvalidation = 100").values().word("vote.rule"), "validated");
}

TEST(Config, TakesTheWordsOfVersion01) {
  const auto config = [](const std::string& text) { return Config::parse(text, "a.toml"); };
  for (const auto& [before, now, notice] : std::vector<std::array<std::string, 3>>{
           {"control.untrained = true", "baseline.untrained = true", "a.toml: control.untrained is called baseline.untrained since 0.2"},
           {"objective.scope = \"grouped\"", "objective.scope = \"blocks\"",
            "a.toml: objective.scope = \"grouped\" is called objective.scope = \"blocks\" since 0.2"},
           {"model.mesh.readout = \"joint\"", "model.mesh.linear_head = \"joint\"",
            "a.toml: model.mesh.readout is called model.mesh.linear_head since 0.2"},
           {"model.mesh.readout = \"prototypes\"", "model.mesh.linear_head = \"none\"",
            "a.toml: model.mesh.readout = \"prototypes\" is called model.mesh.linear_head = \"none\" since 0.2"}}) {
    const Config said = config(before), meant = config(now);
    for (const KeyInfo& key : keys()) EXPECT_EQ(said.values().at(key.name), meant.values().at(key.name)) << before << ": " << key.name;
    EXPECT_EQ(said.notices(), std::vector<std::string>{notice});
    EXPECT_TRUE(meant.notices().empty());
  }
  for (const RenamedKey& key : renamed_keys()) EXPECT_EQ(key_info(key.before, "").name, key.now);
}

TEST(Config, RefusesAControlThatThereIsNot) {
  expect_parts(refusal("baseline.untrained = true\nmodel.layers = [20]"),
               {"a.toml: baseline.untrained", "in front of the head", "drop --baseline"});
  expect_parts(refusal("baseline.untrained = true\nobjective.scope = \"end_to_end\"\ngradient.estimator = \"adjoint\""),
               {"baseline.untrained", "local losses", "end_to_end"});
  expect_parts(refusal("baseline.untrained = true\nmodel.kind = \"photonic\"", kFunction), {"baseline.untrained", "regression"});
  EXPECT_TRUE(resolved_toml("baseline.untrained = true\nmodel.kind = \"photonic\"").values().flag("baseline.untrained"));
}

TEST(Config, NeedsALayer) {
  expect_parts(refusal("model.layers = []"), {"a.toml: model.layers", "at least one", "[]"});
  expect_parts(refusal("model.layers = []\nmodel.kind = \"cnn\"\nobjective.scope = \"end_to_end\"\ngradient.estimator = \"adjoint\""),
               {"model.layers", "at least one"});
  EXPECT_EQ(resolved_toml("model.layers = []\nmodel.kind = \"cnn\"").layer_count(), 2) << "convolutions alone can classify by local losses";
}

TEST(Config, PaperMeansThePapersNumbers) {
  const Config config = resolved_toml("preset = \"paper\"");
  const Values& v = config.values();
  EXPECT_EQ(v.integers("model.layers"), (std::vector<std::int64_t>{100, 100, 100, 10}));
  EXPECT_EQ(v.word("model.activation"), "none");
  EXPECT_EQ(v.word("objective.loss"), "margin");
  EXPECT_EQ(v.word("objective.reduction"), "sum");
  EXPECT_EQ(v.number("objective.margin"), 0.3);
  EXPECT_EQ(v.word("update.rule"), "sgd");
  EXPECT_EQ(v.number("update.lr"), 1e-3);
  EXPECT_EQ(v.number("gradient.eps"), 1e-3);
  EXPECT_EQ(v.integer("gradient.directions"), 1);
  EXPECT_EQ(v.word("gradient.distribution"), "gaussian");
  EXPECT_EQ(v.integer("training.batch_size"), 256);
  EXPECT_EQ(config.solver(), "ff_dd");
  EXPECT_EQ(resolved_toml("preset = \"paper_stable\"").values().number("update.lr"), 1e-4);
  const Values adjoint = resolved_toml("preset = \"paper\"\ngradient.estimator = \"adjoint\"").values();
  EXPECT_EQ(adjoint.word("update.rule"), "adam");
  EXPECT_EQ(adjoint.number("update.lr"), 1e-3);
  EXPECT_EQ(adjoint.number("update.weight_decay"), 0.0);
}

TEST(Config, PaperKnowsCnnAndPhotonicRuns) {
  const Values cnn =
      resolved_toml("preset = \"paper\"\nmodel.kind = \"cnn\"\nobjective.scope = \"end_to_end\"\ngradient.estimator = \"adjoint\"")
          .values();
  EXPECT_EQ(cnn.number("update.weight_decay"), 1e-5);
  EXPECT_EQ(cnn.word("model.activation"), "relu");
  EXPECT_EQ(cnn.word("objective.reduction"), "mean");
  const Values mesh = resolved_toml("preset = \"paper\"\nmodel.kind = \"photonic\"\ngradient.estimator = \"adjoint\"").values();
  EXPECT_EQ(mesh.word("objective.loss"), "cosine");
  EXPECT_EQ(mesh.word("objective.reduction"), "mean");
  EXPECT_EQ(mesh.word("update.epsilon_form"), "keras");
  EXPECT_EQ(mesh.number("update.epsilon"), 1e-7);
  EXPECT_TRUE(mesh.flag("model.mesh.dead_parameters"));
  EXPECT_EQ(mesh.integer("training.batch_size"), 128);
}

TEST(Config, RegressionTakesTheSquaredLossAndOneOutput) {
  const Values v = resolved_toml("preset = \"paper\"\ndataset.name = \"function1\"", kFunction).values();
  EXPECT_EQ(v.word("objective.loss"), "squared");
  EXPECT_EQ(v.word("objective.reduction"), "mean");
  EXPECT_EQ(v.word("dataset.task"), "regression");
  const Values whole =
      resolved_toml("preset = \"paper\"\ndataset.name = \"function1\"\nobjective.scope = \"end_to_end\"", kFunction).values();
  EXPECT_EQ(whole.integers("model.layers").back(), 1);
  EXPECT_EQ(resolved_toml("preset = \"adjoint\"\nobjective.scope = \"end_to_end\"").values().integers("model.layers").back(), 10)
      << "one output a class";
}

TEST(Config, SolverNamesTheCell) {
  for (const char* solver : {"ff_dd", "ff_ad", "bp_dd", "bp_ad", "ff_activity"}) {
    std::string toml;
    for (const auto& [key, value] : solver_overrides(solver)) toml += key + " = \"" + value + "\"\n";
    EXPECT_EQ(resolved_toml(toml).solver(), solver);
  }
  expect_parts(message_of<ConfigError>([] { static_cast<void>(solver_overrides("ff_da")); }), {"--solver", "ff_dd", "\"ff_da\""});
}

TEST(Config, LayerTablesDifferFromTheRun) {
  const Config config = resolved_toml("preset = \"paper\"\n[[layer]]\nindex = 1\nupdate.lr = 0.5\ntraining.epochs = 7\n");
  EXPECT_EQ(config.layer_values(0).number("update.lr"), 1e-3);
  EXPECT_EQ(config.layer_values(1).number("update.lr"), 0.5);
  EXPECT_EQ(config.layer_values(1).integer("training.epochs"), 7);
  EXPECT_EQ(config.layer_values(2).integer("training.epochs"), 20);
  expect_parts(refusal("[[layer]]\nindex = 1\nseed = 3"), {"a.toml: [[layer]] 1", "seed"});
  expect_parts(refusal("[[layer]]\nindex = 9"), {"a.toml: [[layer]] 9", "layers; got 9"});
  expect_parts(refusal("[[layer]]\nupdate.lr = 1.0"), {"needs index = N"});
}

TEST(Config, RefusesInOneLineNamingPlaceRequirementValueAndRemedy) {
  expect_parts(refusal("gradient.epz = 1"), {"a.toml: unknown key; got \"gradient.epz\"; did you mean \"gradient.eps\"?"});
  expect_parts(refusal("gradient.estimatr = 1"), {"did you mean \"gradient.estimator\"?"});
  expect_parts(refusal("epochs = 3"), {"did you mean \"training.epochs\"?"});
  expect_parts(refusal("batch = 3"), {"did you mean \"training.batch_size\"?"});
  expect_parts(refusal("learning_rate = 3"), {"did you mean \"update.lr\"?"});
  expect_parts(refusal("update.learning_rate = 3"), {"did you mean \"update.lr\"?"});
  expect_parts(refusal("training.epochs = \"many\""), {"a.toml: training.epochs: must be an integer; got \"many\""});
  expect_parts(refusal("training.epochs = 1.5"), {"must be an integer; got 1.5"});
  expect_parts(refusal("training.epochs = -1"), {"must be at least 0; got -1"});
  expect_parts(refusal("model.dropout = 1.0"), {"model.dropout: must lie in 0 .. 0.99; got 1.0"});
  expect_parts(refusal("model.kind = \"rnn\""), {"must be one of mlp, cnn, photonic, device; got \"rnn\""});
  expect_parts(refusal("model.layers = [10, 0]"), {"model.layers", "got 0"});
  expect_parts(refusal("update.lr = nan"), {"update.lr"});
  expect_parts(refusal("this is no toml"), {"a.toml:1:"});
  expect_parts(refusal("model.conv.kernel = [3]"),
               {"a.toml: model.conv.kernel: this key has no effect here: it belongs to model.kind = \"cnn\""});
  expect_parts(refusal("gradient.estimator = \"adjoint\"\ngradient.eps = 0.1"), {"gradient.eps", "no effect", "remove it"});
  expect_parts(refusal("update.rule = \"sgd\"\nupdate.beta1 = 0.5"), {"update.beta1", "no effect"});
  expect_parts(refusal("objective.scope = \"end_to_end\"\nmodel.groups = 2"), {"model.groups", "no effect"});
  expect_parts(refusal("training.batch_size = 2000"), {"training.batch_size", "must not exceed the 1000 training samples", "2000"});
  expect_parts(refusal("objective.loss = \"squared\""), {"objective.loss", "regression"});
  expect_parts(refusal("objective.loss = \"margin\"", kFunction), {"objective.loss", "squared"});
  expect_parts(refusal("objective.scope = \"end_to_end\"\nobjective.loss = \"margin\""), {"cross-entropy"});
  expect_parts(refusal("objective.scope = \"end_to_end\"\ngradient.estimator = \"activity\""), {"gradient.estimator", "local"});
  expect_parts(refusal("gradient.estimator = \"directional\"\ngradient.distribution = \"span\""), {"gradient.distribution"});
  expect_parts(refusal("gradient.estimator = \"coordinate\""), {"gradient.estimator", "photonic"});
  EXPECT_THROW(static_cast<void>(Config::load({.file = "/nonexistent/settings.toml", .overrides = {}})), Error);
}

TEST(Config, AnEmptyTextSaysNothing) {
  EXPECT_EQ(resolved_toml("model.map = \"dense\"\nmodel.map_options = \"\"").values().word("model.map"), "dense");
  expect_parts(refusal("model.map = \"dense\"\nmodel.map_options = \"seed = 1\""), {"model.map_options", "no effect", "remove it"});
}

TEST(Config, ReadsFiles) {
  const TemporaryFolder folder;
  const auto path = folder.write("run.toml", "training.epochs = 3\n[objective]\nscope = \"end_to_end\"\n");
  const Config config = Config::load({.file = path, .overrides = {{"training.epochs", "4"}}});
  EXPECT_EQ(config.values().integer("training.epochs"), 4);
  EXPECT_EQ(config.values().word("objective.scope"), "end_to_end");
}

/// A random value that the key accepts, as TOML.
std::string random_toml(const KeyInfo& key, std::uint32_t word) {
  const auto between = [&](double share) { return key.minimum + share * (std::min(key.maximum, key.minimum + 64.0) - key.minimum); };
  const double share = static_cast<double>(word % 1000U) / 1000.0;
  switch (key.type) {
    case KeyType::boolean:
      return word % 2 == 0 ? "true" : "false";
    case KeyType::integer:
    case KeyType::classes:
      return std::to_string(static_cast<std::int64_t>(std::ceil(between(share))));
    case KeyType::number:
    case KeyType::number_or_auto:
      return std::to_string(between(0.1 + 0.8 * share));
    case KeyType::word:
      return "\"" + key.choices[word % key.choices.size()] + "\"";
    case KeyType::text:
      return "\"some/where\"";
    case KeyType::texts:
      return "[\"some/where\"]";
    case KeyType::integers:
      return "[" + std::to_string(static_cast<std::int64_t>(std::ceil(between(share))) + 10) + "]";
  }
  return {};
}

TEST(Config, ResolvedFileReadsBackAsTheSameRun) {
  int accepted = 0;
  expect_property("to_toml round trip", [&accepted] {
    const auto count = *rc::gen::inRange(0, 6);
    std::vector<std::pair<std::string, std::string>> overrides;
    for (int i = 0; i < count; ++i) {
      const KeyInfo& key = *rc::gen::elementOf(keys());
      overrides.emplace_back(key.name, random_toml(key, *rc::gen::arbitrary<std::uint32_t>()));
    }
    const DataFacts facts = *rc::gen::element(kImages, kFunction);
    Config config;
    try {
      config = parse("", overrides);
      config.resolve(facts);
    } catch (const ConfigError& e) {
      RC_ASSERT(std::string(e.what()).find('\n') == std::string::npos);
      return;
    }
    ++accepted;
    const std::string text = config.to_toml();
    Config again = Config::parse(text, "config.toml");
    again.resolve(facts);
    RC_ASSERT(again.to_toml() == text);
    RC_ASSERT(again.solver() == config.solver());
    for (const KeyInfo& key : keys())
      if (key.unused(config.values()).empty()) RC_ASSERT(again.values().at(key.name) == config.values().at(key.name));
  });
  EXPECT_GT(accepted, 20);
}

TEST(Config, EveryPresetOfEveryKindReadsBack) {
  for (const std::string& preset : key_info("preset", "test").choices)
    for (const char* kind : {"mlp", "cnn", "photonic"})
      for (const char* scope : {"local", "end_to_end"}) {
        Config config;
        try {
          config = resolved_toml("preset = \"" + preset + "\"\nmodel.kind = \"" + kind + "\"\nobjective.scope = \"" + scope + "\"");
        } catch (const ConfigError&) {
          continue;  // an estimator that needs local losses
        }
        const std::string text = config.to_toml();
        Config again = Config::parse(text, "config.toml");
        again.resolve(kImages);
        EXPECT_EQ(again.to_toml(), text) << preset << " " << kind << " " << scope;
      }
}

TEST(Config, PresetsFollowTheEstimator) {
  const Values known = resolved_toml("").values();
  EXPECT_EQ(known.word("gradient.estimator"), "activity");
  EXPECT_EQ(known.integer("model.groups"), 1);
  const Values grouped = resolved_toml("gradient.estimator = \"directional\"").values();
  EXPECT_EQ(grouped.word("gradient.distribution"), "rademacher");
  EXPECT_GT(grouped.integer("model.groups"), 1);
  EXPECT_EQ(grouped.at("model.pca").size(), grouped.at("model.layers").size());
  const Values opaque = resolved_toml("preset = \"opaque\"").values();
  EXPECT_EQ(opaque.word("gradient.estimator"), "directional");
  EXPECT_EQ(opaque.integer("model.groups"), 1);
  EXPECT_TRUE(resolved_toml("preset = \"opaque\"\nmodel.kind = \"cnn\"").values().flag("gradient.one_loss"));
  for (const char* kind : {"mlp", "cnn", "photonic"}) {
    const Values whole = resolved_toml(std::string("model.kind = \"") + kind + "\"\nobjective.scope = \"end_to_end\"").values();
    EXPECT_EQ(whole.word("gradient.estimator"), "directional") << kind << ": activity perturbation needs local losses";
  }
  EXPECT_EQ(resolved_toml("objective.scope = \"grouped\"").values().word("gradient.estimator"), "directional");
}

TEST(Config, PresetsMakeRoomForWhatTheUserAndTheDataSay) {
  const std::string directional = "gradient.estimator = \"directional\"\n";
  const Values narrow = resolved_toml(directional + "model.layers = [120, 20, 60]").values();
  EXPECT_EQ(narrow.integer("model.groups"), 1) << "a group needs 30 outputs";
  EXPECT_EQ(resolved_toml(directional + "model.layers = [128, 64]").values().integer("model.groups"), 2);
  EXPECT_EQ(narrow.integers("model.pca").size(), 3U);
  EXPECT_EQ(narrow.integers("model.pca")[2], 20) << "no more than inputs";
  EXPECT_EQ(resolved_toml(directional + "model.layers = [40]\nmodel.groups = 4").values().integer("model.groups"), 4) << "the user's stay";
  DataFacts small = kImages;
  small.sample = Shape{.channels = 1, .height = 5, .width = 5};
  EXPECT_EQ(resolved_toml(directional, small).values().integers("model.pca")[0], 25);
  small.images = false;
  small.sample = Shape{.channels = 1, .height = 1, .width = 6};
  EXPECT_EQ(resolved_toml(directional, small).values().integers("model.pca")[0], 6);
  small.images = true;
  small.sample = Shape{.channels = 1, .height = 12, .width = 12};
  const Values maps = resolved_toml(directional +
                                        "[model]\nkind = \"cnn\"\nconv.channels = [4, 4]\nconv.kernel = [3]\nconv.padding = [1]\n"
                                        "conv.projection_pool = 0\n",
                                    small)
                          .values();
  EXPECT_EQ(maps.integers("model.pca")[0], 4 * 3 * 3);
  EXPECT_EQ(resolved_toml(directional, kFunction).values().integer("model.groups"), 1) << "groups would share the loss of a regression";
}

TEST(Config, MeasuredLengthsBelongToDirections) {
  EXPECT_EQ(resolved_toml("gradient.estimator = \"directional\"\ngradient.eps = \"measured\"").values().word("gradient.eps"), "measured");
  EXPECT_EQ(resolved_toml("update.lr = \"measured\"").values().word("update.lr"), "measured");
  expect_parts(refusal("gradient.estimator = \"activity\"\ngradient.eps = \"measured\""), {"gradient.eps", "directional"});
}

TEST(Config, LayerTablesReadBackToo) {
  const Config config = resolved_toml("[[layer]]\nindex = 1\nupdate.lr = 0.5\nmodel.activation = \"tanh\"\n");
  Config again = Config::parse(config.to_toml(), "config.toml");
  again.resolve(kImages);
  EXPECT_EQ(again.to_toml(), config.to_toml());
  EXPECT_EQ(again.layer_values(1).number("update.lr"), 0.5);
  EXPECT_EQ(again.layer_values(1).word("model.activation"), "tanh");
}

TEST(Config, ScaleFollowsTheData) {
  DataFacts table = kImages;
  table.images = false;
  table.table = true;
  EXPECT_EQ(resolved_toml("", table).values().word("dataset.scale"), "sphere");
  EXPECT_EQ(resolved_toml("dataset.scale = \"unit\"", table).values().word("dataset.scale"), "unit");
  EXPECT_EQ(resolved_toml("dataset.scale = \"none\"", table).values().word("dataset.scale"), "none");
  EXPECT_EQ(resolved_toml("", kImages).values().word("dataset.scale"), "none");
  table.regression = true;
  EXPECT_EQ(resolved_toml("dataset.name = \"npz\"", table).values().word("dataset.scale"), "sphere");
  EXPECT_EQ(resolved_toml("dataset.name = \"function2\"", table).values().word("dataset.scale"), "none");
  table.table = false;
  EXPECT_EQ(resolved_toml("", table).values().word("dataset.scale"), "none") << "complex vectors and bytes";
}

TEST(Config, CompleteFilesFromBeforeAKeyMeanWhatTheyMeantThen) {
  DataFacts table = kImages;
  table.images = false;
  table.table = true;
  for (const char* toml :
       {"", "model.kind = \"photonic\"", "preset = \"paper\"\nobjective.scope = \"end_to_end\"\ngradient.estimator = \"adjoint\""}) {
    std::string text = resolved_toml(std::string(toml) + "\ndataset.scale = \"none\"", table).to_toml();
    const std::string now = text, line = "scale = \"none\"\n";
    text.erase(text.find(line), line.size());
    Config earlier = Config::parse(text, "config.toml");
    earlier.resolve(table);
    EXPECT_EQ(earlier.values().word("dataset.scale"), "none") << toml;
    EXPECT_EQ(earlier.to_toml(), now);
    Config changed = Config::parse(text, "config.toml", {.file = {}, .overrides = {{"dataset.scale", "unit"}}});
    changed.resolve(table);
    EXPECT_EQ(changed.values().word("dataset.scale"), "unit") << "the command line is stronger";
  }
  EXPECT_EQ(resolved_toml("training.epochs = 3", table).values().word("dataset.scale"), "sphere") << "a user's file says but a part";
}

TEST(Keys, HaveNamesFallbacksAndDocumentation) {
  for (const KeyInfo& key : keys()) {
    EXPECT_FALSE(key.doc.empty()) << key.name;
    EXPECT_EQ(key.doc.back(), '.') << key.name;
    EXPECT_EQ(checked_value(key, key.fallback, "table"), key.fallback) << key.name;
  }
}

// The parser and all behind it go down by recursion.
TEST(Config, ThatNestsWithoutEndIsRefused) {
  std::string key = "a";
  for (int i = 0; i < 40000; ++i) key += ".a";
  expect_parts(refusal(key + " = 1"), {"at most 16 parts"});
  expect_parts(refusal(std::string("y = \"\"\"a\"\"\"\"\nx = {") + key + " = 1}"), {"at most 16 parts"});
  expect_parts(refusal("x = " + std::string(5000, '[')), {"at most 16 deep"});
  expect_parts(refusal("[[layer]]\nindex = 0\n[[layer]]\nindex = 0\n"), {"one table"});
}

}  // namespace
}  // namespace ffzero::test
