// What a training comes to.
// SPDX-License-Identifier: MIT
#include "ffzero/train/conclusion.hpp"

#include <algorithm>
#include <span>
#include <string>

#include "ffzero/metric/metric.hpp"
#include "ffzero/train/layer_vote.hpp"
#include "ffzero/vote/vote.hpp"

namespace ffzero {

namespace {

std::size_t deciding_layer(const TrainPlan& plan, const std::vector<LayerRecord>& layers) {
  if (!plan.chooses_layer()) return layers.size() - 1;
  std::vector<double> train, validation;
  for (const LayerRecord& layer : layers) {
    train.push_back(layer.train.value);
    if (layer.validation) validation.push_back(layer.validation->value);
  }
  return usize(best_layer(train, validation));
}

// What stands before the layers or reads them, beside what is trained by forward evaluations.
template <class S>
std::vector<std::string> front_ends_of(const Network<S>& network) {
  std::vector<std::string> kinds;
  for (Index i = 0; i < network.layers(); ++i)
    if (network.front(i) != nullptr) {
      const std::string kind = network.front(i)->kind();
      if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
    }
  for (Index i = 0; i < network.layers(); ++i)
    if (network.has_readout(i) || network.layer(i).head->kind() == "readout") {
      kinds.emplace_back("trained readout");
      break;
    }
  return kinds;
}

// A prefix of the layers gives the vote after its last one.
std::vector<Matrix<float>> scores_up_to(const std::vector<SplitScores>& layers, std::size_t deciding) {
  std::vector<Matrix<float>> scores;
  for (const SplitScores& layer : std::span(layers).first(deciding + 1)) scores.push_back(layer.scores);
  return scores;
}

}  // namespace

template <class S>
Outputs conclude(const TrainSession<S>& session, const Evaluator<S>& evaluator, const std::vector<LayerRecord>& layers, RunRecord& record) {
  const TrainPlan& plan = session.plan;
  const Splits& splits = session.splits;
  const bool regression = splits.train.task() == Task::regression;
  Outputs outputs;
  record.metric = regression ? "r2" : "accuracy";
  record.layers = layers;
  for (const LayerRecord& layer : layers) record.information = std::max(record.information, layer.information);
  record.front_ends = front_ends_of(session.network);
  if (layers.empty()) return outputs;
  outputs.deciding = deciding_layer(plan, layers);
  const LayerRecord& decides = layers[outputs.deciding];
  record.final_train = decides.train;
  record.final_test = decides.test;
  record.final_validation = decides.validation;
  for (std::size_t b = layers.size(); b < session.blocks.size(); ++b) record.unreached.push_back(session.blocks[b].name);
  if (plan.chooses_layer() || !record.unreached.empty()) record.deciding_layer = decides.name;
  for (const SplitScores& s : evaluator.test_scores()) {
    outputs.test_scores.push_back(s.scores);
    if (!regression) outputs.predictions.push_back(predict<float>(s.scores));
  }
  if (!plan.vote) return outputs;
  outputs.vote_rule = plan.vote->rule;
  if (plan.vote->validated)
    outputs.vote_rule =
        validated_rule(*plan.vote, scores_up_to(evaluator.validation_scores(), outputs.deciding), splits.validation.labels());
  const auto decisions = [&](const std::vector<SplitScores>& of) {
    return layer_vote(*plan.vote, outputs.vote_rule, scores_up_to(of, outputs.deciding));
  };
  outputs.vote = decisions(evaluator.test_scores());
  VoteRecord vote{.rule = to_string(outputs.vote_rule),
                  .train = accuracy(decisions(evaluator.train_scores()), splits.train.labels()),
                  .test = accuracy(outputs.vote, splits.test.labels()),
                  .validation = {}};
  record.final_train.value = vote.train;
  record.final_test.value = vote.test;
  if (session.validation) {
    vote.validation = accuracy(decisions(evaluator.validation_scores()), splits.validation.labels());
    record.final_validation->value = *vote.validation;
  }
  record.vote = vote;
  return outputs;
}

template Outputs conclude(const TrainSession<float>&, const Evaluator<float>&, const std::vector<LayerRecord>&, RunRecord&);
template Outputs conclude(const TrainSession<double>&, const Evaluator<double>&, const std::vector<LayerRecord>&, RunRecord&);

}  // namespace ffzero
