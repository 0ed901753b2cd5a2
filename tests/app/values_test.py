"""Value models of every kind of target, on answers whose exact values are known: what is trained, compared, chosen and refused."""

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import h5py
import numpy as np

import runs

WALK = """
run: {dir: unset, seed: 1}
task: {kind: walk, modulus: 6, steps: 3, splits: {sft: 300, value: 50, test: 12}, repeating: [sft]}
stages:
  base:   {do: sft, model: {layers: 1, width: 32, heads: 2}, problems: sft, batch: 32, updates: 4}
  rolls:  {do: rollout, scripted: true, problems: value, samples: 6, verdict_noise: 0.2}
  cands:  {do: rollout, scripted: true, problems: test, samples: 8}
  judged: {do: rollout, scripted: true, problems: test, samples: 8, verdict_noise: 0.4}
  plain:  {do: rollout, policy: base, problems: test, samples: 2}
  mc:     {do: value, init: base, data: rolls, target: {kind: td_lambda, lambda: 1}, updates: 6,
           select: {every: 3}, optimizer: {horizon: 6}}
  end:    {do: value, like: mc, target: {lambda: 0.5, terminal: value, bootstrap: ema, ema_decay: 0.5}, commit: {at: 3}}
  exact:  {do: value, like: mc, target: {kind: step_label, lambda: 0.8}, labels: v_pi}
  mixed:  {do: value, like: mc, target: {lambda: 0.5, label_mix: 0.5, average: trajectory, class_weight: {right: 3}}}
  hazard: {do: value, like: mc, target: {kind: hazard}}
  first:  {do: value, like: mc, target: {kind: hazard, errors: labels}}
  team:   {do: value, like: end, members: 3}
  feats:  {do: features, model: base, data: rolls}
  other:  {do: features, model: base, data: cands}
  head:   {do: value, like: mc, train: head, features: feats}
  heads:  {do: value, like: end, train: head, members: 2}
  light:  {do: value, like: heads, keep_body: false}
  onward: {do: value, like: mc, init: head, updates: 1, optimizer: {lr: 1e-30, horizon: 6}, select: {every: 1}}
  lighter: {do: best_of_n, data: cands, values: [light]}
  cut:    {do: search, policy: base, problems: test, value: mc, branch: 2, sampler: {top_k: 3}}
  afar:   {do: search, policy: base, problems: test, value: light, branch: 2}
  bon:    {do: best_of_n, data: cands, values: [mc, team, hazard, first, head, heads], at: [last, minimum, survival],
           votes: [value, power, log_odds], difficulty: judged}
  forked: {do: rollout, scripted: true, forks: true, problems: test, samples: 7}
  told:   {do: best_of_n, data: forked, values: [mc]}
  alone:  {do: best_of_n, data: plain, values: [mc], baselines: [log_prob, mean_log_prob, shortest]}
  wary:   {do: best_of_n, data: cands, values: [team], caution: 1}
  greedy: {do: search, policy: base, problems: test, value: team, branch: 2}
  noisy:  {do: best_of_n, data: judged, values: [exact]}
  notes:  {do: annotate, data: cands, policy: base, tries: 3}
  tried:  {do: value, like: mc, data: notes, labels: sampled, target: {kind: step_label, lambda: 0.8, label_weight: tries}}
  scored: {do: score, value: mc, data: cands}
"""


def results(folder, stage):
    return json.loads((folder / stage / "results.json").read_text())


class Values(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-values-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.config = runs.write_config(cls.root, WALK)
        cls.folder = cls.root / "run"
        runs.finish(cls.folder, config=cls.config)

    def refuse(self, code, message, *settings, again=""):
        """Starts with other options, in a copy where one stage is made again."""
        folder, more = self.root / "refused", ["--only", again, "--redo", again] if again else []
        if again:
            shutil.copytree(self.folder, folder)
        done = runs.tdrm(*runs.run_arguments(folder, config=self.config, settings=settings, more=more))
        shutil.rmtree(folder, ignore_errors=True)
        self.assertEqual(done.returncode, code, done.stdout)
        self.assertIn(message, done.stdout)

    def test_two_ranks_make_the_same_run(self):
        other = self.root / "two"
        runs.finish(other, config=self.config, ranks=2)
        self.assertEqual(runs.differences(self.folder, other), [])

    def test_moving_averages_and_members_come_back_from_a_commit(self):
        other = self.root / "resumed"
        only = [word for stage in ("base", "rolls", "end", "team", "heads") for word in ("--only", stage)]
        runs.finish(other, config=self.config, more=only,
                    settings=[f"stages.{stage}.updates=3" for stage in ("end", "team", "heads")])
        with h5py.File(other / "team/update-000003/checkpoint.h5") as file:
            self.assertIn("model", file["member2"])
            self.assertIn("model", file["member2/average"])
            self.assertNotIn("optimizer", file["average"])
        runs.finish(other, config=self.config, more=only)
        for stage in ("end", "team", "heads"):
            for name in ("metrics.jsonl", "update-000006/part-0000.h5"):
                self.assertEqual((other / stage / name).read_bytes(), (self.folder / stage / name).read_bytes(), (stage, name))

    def test_exact_values_and_true_verdicts_lie_beside_what_is_learnt(self):
        with h5py.File(self.folder / "rolls/labels.h5") as labels, h5py.File(self.folder / "rolls/trajectories.h5") as data:
            self.assertEqual(labels.attrs["v_pi_policy"], "uniform offsets")
            value, offset = labels["state/v_pi"][...], labels["state/offset"][...]
            truth = labels["trajectory/true_outcome"][...]
            flipped = truth != data["trajectory/outcome"][...]
            self.assertTrue(0.1 < flipped.mean() < 0.3, flipped.mean())
            np.testing.assert_array_equal(value[offset[1:] - 1], truth)  # at the end V^pi is the verdict
            self.assertLess(abs(value[offset[:-1]].mean() - truth.mean()), 0.1)
        with h5py.File(self.folder / "plain/labels.h5") as labels:
            self.assertNotIn("v_pi", labels["state"], "a model's answers have other values")

    def test_every_figure_names_what_it_is_compared_with(self):
        last = runs.lines(self.folder / "mc/metrics.jsonl")[-1]
        for estimand in ("outcome", "true_outcome", "reachable", "v_pi"):
            for figure in ("mse", "ece", "explained_variance", "auc", "auc_within"):
                self.assertIn(f"eval/{estimand}/{figure}", last)
        self.assertEqual(last["eval/outcome/mse"], last["eval/brier"])
        meanings = json.loads((self.folder / "mc/stage.json").read_text())["results"]["estimands"]
        self.assertEqual(meanings["v_pi"], "V^pi, exact: uniform offsets")
        hazard = runs.lines(self.folder / "hazard/metrics.jsonl")[-1]
        self.assertIn("eval/outcome_at_end/auc", hazard)
        self.assertNotIn("eval/v_pi/mse", hazard)  # survival is no V^pi
        values = results(self.folder, "bon")["values"]
        self.assertEqual(values["mc"]["v_pi"]["estimand"], "v_pi")
        self.assertEqual(values["mc"]["truth"]["estimand"], "reachable")
        self.assertEqual(values["first"]["truth"]["estimand"], "reachable")
        self.assertIn("auc_within", values["team"]["outcome"])

    def test_curves_are_of_all_selections_and_cut_by_difficulty(self):
        curves = {curve["method"]: curve for curve in results(self.folder, "bon")["curves"]}
        for method in ("majority", "pass@N", "mc last", "mc minimum vote log_odds", "team last vote power",
                       "hazard survival", "first survival vote value"):
            self.assertIn(method, curves)
        self.assertNotIn("hazard last", curves)
        self.assertNotIn("mc survival", curves)
        limit = curves["pass@N"]
        self.assertEqual([len(limit["quintiles"]), sum(fifth[0]["count"] for fifth in limit["quintiles"])], [5, 12])
        self.assertEqual(curves["mc last"]["points"][-1]["n"], 8)
        self.assertTrue(all("sampling" not in point for point in curves["mc last"]["points"]), "best-of-N is exact")

    def test_siblings_are_compared_by_their_values_and_their_exact_values(self):
        with h5py.File(self.folder / "forked/trajectories.h5") as data, h5py.File(self.folder / "forked/labels.h5") as labels, \
                h5py.File(self.folder / "told/mc/values.h5") as values:
            problem, ids, step_end = (data[name][...] for name in ("trajectory/problem", "token/id", "step/end"))
            token, step, state = data["trajectory/token_offset"][...], data["trajectory/step_offset"][...], labels["state/offset"][...]
            value, exact = 1 / (1 + np.exp(-values["state/value"][...].astype(float))), labels["state/v_pi"][...].astype(float)
        children = {}  # {(problem, ids of the parent): {ids of the child: (value, exact)}}
        for row in range(len(problem)):
            ends = [0, *step_end[step[row]:step[row + 1]]]
            for t in range(1, len(ends)):
                parent, child = (tuple(ids[token[row]:token[row] + ends[k]]) for k in (t - 1, t))
                children.setdefault((problem[row], parent), {})[child] = (value[state[row] + t], exact[state[row] + t])
        self.assertGreater(max(len(parent) for (_, parent), found in children.items() if len(found) > 1), 0, "siblings at later steps, too")
        errors = {p: [] for p in set(problem)}
        for (p, _), found in children.items():
            pairs = list(found.values())
            errors[p] += [((a[0] - b[0]) - (a[1] - b[1])) ** 2 for i, a in enumerate(pairs) for b in pairs[:i]]
        siblings = results(self.folder, "told")["values"]["mc"]["v_pi"]["siblings"]
        self.assertEqual(siblings["pairs"], sum(map(len, errors.values())))
        self.assertAlmostEqual(siblings["mse"], np.mean(np.concatenate(list(errors.values()))), places=9)
        for p, found in errors.items():
            self.assertAlmostEqual(siblings["per_problem"][p], np.mean(found), places=9)

    def test_baselines_choose_by_log_prob_and_length(self):
        with h5py.File(self.folder / "plain/trajectories.h5") as data:
            token, logprob = data["trajectory/token_offset"][...], data["token/logprob"][...].astype(float)
            right, problem = data["trajectory/outcome"][...], data["trajectory/problem"][...]
        parts = [logprob[a:b] for a, b in zip(token, token[1:])]
        scores = {"log_prob": [p.sum() for p in parts], "mean_log_prob": [p.mean() for p in parts], "shortest": [-len(p) for p in parts]}
        curves = {curve.get("baseline"): curve for curve in results(self.folder, "alone")["curves"]}
        for baseline, score in scores.items():
            expected = []
            for p in range(problem[-1] + 1):
                rows = np.flatnonzero(problem == p)
                best = max(score[row] for row in rows)
                expected.append(np.mean([right[row] for row in rows if score[row] == best]))  # equals share the choice
            np.testing.assert_allclose(curves[baseline]["per_problem"], expected, atol=1e-12)
            self.assertNotIn("model", curves[baseline])
        headline = json.loads((self.folder / "alone/stage.json").read_text())["results"]
        self.assertEqual(set(headline), {"N", "majority", "pass@N", "mc last", "log_prob", "mean_log_prob", "shortest"})
        self.assertEqual(headline["shortest"], curves["shortest"]["points"][-1]["mean"])
        self.refuse(64, "have no log-probs (they are scripted or from elsewhere), which baseline log_prob needs",
                    "stages.bon.baselines=[log_prob]", again="bon")
        self.refuse(64, "keep_body: is false, but the whole model is trained", "stages.mc.keep_body=false", again="mc")
        self.refuse(64, "forks: is true, but a model answers", "stages.plain.forks=true", again="plain")

    def test_candidates_are_right_by_the_verdict_before_flips(self):
        with h5py.File(self.folder / "judged/labels.h5") as labels:
            share = labels["trajectory/true_outcome"][...].mean()
        self.assertAlmostEqual(results(self.folder, "noisy")["curves"][1]["points"][0]["mean"], share, places=6)

    def test_members_give_mean_and_deviation_of_each_state(self):
        record = json.loads((self.folder / "team/stage.json").read_text())
        self.assertEqual(record["results"]["members"], 3)
        with h5py.File(self.folder / "bon/team/values.h5") as file:
            self.assertEqual(file["state/value"].shape, file["state/deviation"].shape)
            self.assertGreater(file["state/deviation"][...].mean(), 0)
        with h5py.File(self.folder / "bon/mc/values.h5") as file:
            self.assertNotIn("deviation", file["state"])
        self.assertGreater(results(self.folder, "bon")["values"]["team"]["mean_deviation"], 0)
        with h5py.File(self.folder / "greedy/search.h5") as file:
            self.assertTrue(np.isfinite(file["node/value"][...]).all())

    def test_each_member_of_an_ensemble_costs(self):
        with h5py.File(self.folder / "bon/mc/values.h5") as one, h5py.File(self.folder / "bon/team/values.h5") as team:
            self.assertEqual(team.attrs["read_flop"], 3 * one.attrs["read_flop"])
            np.testing.assert_array_equal(team["problem/scored_tokens"][...], one["problem/scored_tokens"][...])
            found = results(self.folder, "greedy")
            self.assertEqual(found["flops"]["value"], team.attrs["read_flop"] * found["scored_tokens"])
        curves = {curve["method"]: curve["points"][-1] for curve in results(self.folder, "bon")["curves"]}
        self.assertNotIn("flops", curves["mc last"], "nobody knows what scripted answers cost")
        self.assertGreater(curves["mc last"]["scored_tokens"], 0)

    def test_heads_on_one_body_are_read_off_its_hidden_states(self):
        folders = sorted((self.folder / "bon").glob("features-*"))
        self.assertEqual(len(folders), 1, "one body for both heads")
        with h5py.File(folders[0] / "features.h5") as file, h5py.File(self.folder / "bon/head/values.h5") as head, \
                h5py.File(self.folder / "bon/heads/values.h5") as heads, h5py.File(self.folder / "bon/mc/values.h5") as whole:
            self.assertEqual(file["state/feature"].size, head["state/value"].size * file.attrs["width"])
            for name in ("problem/scored_tokens", "problem/shared_tokens", "state/offset"):
                np.testing.assert_array_equal(head[name][...], whole[name][...])
            self.assertEqual(head.attrs["read_flop"], heads.attrs["read_flop"])  # the body is read once
            self.assertIn("deviation", heads["state"])

    def test_heads_without_their_body_are_the_same_models_and_far_smaller(self):
        commits = {stage: sorted((self.folder / stage).glob("update-*"))[-1] for stage in ("heads", "light")}
        with h5py.File(commits["light"] / "checkpoint.h5") as file, h5py.File(commits["heads"] / "checkpoint.h5") as whole:
            self.assertNotIn("model", file)
            for head in ("head", "member1/head"):
                np.testing.assert_array_equal(file[f"{head}/model/score.weight"][...], whole[f"{head}/model/score.weight"][...])
        with h5py.File(self.folder / "lighter/light/values.h5") as light, h5py.File(self.folder / "bon/heads/values.h5") as heads:
            for name in ("state/value", "state/deviation"):
                np.testing.assert_array_equal(light[name][...], heads[name][...])
        with h5py.File(self.folder / "afar/search.h5") as file:
            self.assertTrue(np.isfinite(file["node/value"][...]).all())
        moved = self.root / "moved"
        shutil.copytree(self.folder, moved)  # a run that moves as a whole finds its own body
        done = runs.tdrm(*runs.run_arguments(moved, config=self.config, more=["--only", "afar", "--redo", "afar"]))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual((moved / "afar/search.h5").read_bytes(), (self.folder / "afar/search.h5").read_bytes())
        shutil.rmtree(moved / "base")
        done = runs.tdrm(*runs.run_arguments(moved, config=self.config, more=["--only", "afar", "--redo", "afar"],
                                             settings=[f"stages.afar.policy=run:{self.folder}/base"]))
        self.assertEqual(done.returncode, 65, done.stdout)
        self.assertRegex(done.stdout, "holds heads or adapters on the body base, which isn't at .*/moved/base/update-000004 any more")
        done = runs.tdrm("export", f"{moved}/light", self.root / "exported")
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("it holds a head alone; its body is base", done.stdout)
        shutil.rmtree(moved)

    def test_a_value_model_as_init_gives_its_body_alone(self):
        commits = {stage: sorted((self.folder / stage).glob("update-*"))[-1] for stage in ("head", "onward")}
        with h5py.File(commits["head"] / "checkpoint.h5") as head, h5py.File(commits["onward"] / "checkpoint.h5") as onward:
            name = "model/model.layers.0.mlp.down_proj.weight"
            np.testing.assert_allclose(onward[name][...], head[name][...], atol=1e-20)
            self.assertGreater(np.abs(onward["model/score.weight"][...] - head["model/score.weight"][...]).max(), 1e-3)

    def test_heads_leave_the_body_as_it_was(self):
        with h5py.File(self.folder / "feats/features.h5") as file, h5py.File(self.folder / "rolls/labels.h5") as labels:
            self.assertEqual(file["state/feature"].size, labels["state/v_pi"].size * file.attrs["width"])
        commits = {stage: sorted((self.folder / stage).glob("update-*"))[-1] for stage in ("base", "head", "heads")}
        with h5py.File(commits["base"] / "checkpoint.h5") as base:
            for stage, prefix in (("head", ""), ("heads", ""), ("heads", "member1/")):
                with h5py.File(commits[stage] / "checkpoint.h5") as file:
                    name = "model.layers.0.mlp.down_proj.weight"
                    np.testing.assert_array_equal(file[f"{prefix}model/{name}"][...], base[f"model/{name}"][...])
                    np.testing.assert_array_equal(file[f"{prefix}model/score.weight"][...], file[f"{prefix}head/model/score.weight"][...])
        self.assertEqual(json.loads((self.folder / "heads/stage.json").read_text())["results"]["members"], 2)
        self.assertIn("head last", [curve["method"] for curve in results(self.folder, "bon")["curves"]])

    def test_annotations_are_labels_beside_the_same_answers(self):
        with h5py.File(self.folder / "notes/trajectories.h5") as notes, h5py.File(self.folder / "cands/trajectories.h5") as cands:
            np.testing.assert_array_equal(notes["token/id"][...], cands["token/id"][...])
            self.assertEqual(notes.attrs["policy"], "scripted")
            self.assertEqual(notes.attrs["annotated_by"], "base")
            for name, value in cands.attrs.items():
                self.assertEqual(notes.attrs[name], value, name)
        with h5py.File(self.folder / "notes/labels.h5") as file:
            tries, successes = file["state/tries"][...], file["state/successes"][...]
            self.assertIn("v_pi", file["state"])  # what was known before is kept
            self.assertEqual(set(tries), {3})
            self.assertTrue((successes <= tries).all() and (successes >= 0).all())
        figures = results(self.folder, "notes")
        self.assertEqual(figures["tries"], tries.sum())
        self.assertAlmostEqual(figures["success_rate"], successes.sum() / tries.sum())

    def test_a_truncated_search_keeps_the_log_probs_that_it_drew_by(self):
        with h5py.File(self.folder / "cut/trajectories.h5") as file:
            full, drawn = file["token/logprob"][...], file["token/logprob_sampled"][...]
        self.assertEqual(len(drawn), len(full))
        self.assertTrue((drawn >= full - 1e-5).all(), "what is left has more of the mass")
        self.assertGreater(drawn.mean(), full.mean())

    def test_ensembles_are_not_exported_and_hazards_with_a_word_of_warning(self):
        for stage, code, says in (("team", 64, "is an ensemble of 3 models"), ("hazard", 0, "the chance of an error")):
            done = runs.tdrm("export", self.folder / stage, self.root / f"exported-{stage}")
            self.assertEqual(done.returncode, code, done.stdout)
            self.assertIn(says, done.stdout)
        self.assertFalse((self.root / "exported-team").exists())

    def scores(self, folder):
        return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]

    def test_scores_are_the_values_that_best_of_n_has(self):
        with h5py.File(self.folder / "bon/mc/values.h5") as file:
            offset, logit = file["state/offset"][...], file["state/value"][...].astype(float)
        lines = self.scores(self.folder / "scored")
        self.assertEqual(len(lines), len(offset) - 1)
        for line, begin, end in zip(lines, offset[:-1], offset[1:]):
            np.testing.assert_allclose(line["values"], 1 / (1 + np.exp(-logit[begin:end])), rtol=1e-12)
        self.assertEqual([(lines[9]["problem"], lines[9]["sample"])], [(1, 1)])

    def texts(self):
        """The candidates as rows of a file: prompts and steps in words."""
        with h5py.File(self.folder / "cands/trajectories.h5") as file:
            names, at, text = file["vocabulary/id"][...], file["vocabulary/text_offset"][...], bytes(file["vocabulary/text"][...])
            word = {n: text[at[i] : at[i + 1]].decode() for i, n in enumerate(names)}
            say = lambda ids: "".join(word[i] for i in ids).strip()
            prompt, ids, end = file["problem/prompt_offset"][...], file["token/id"][...], file["step/end"][...]
            for row, problem in enumerate(file["trajectory/problem"][...]):
                first = file["trajectory/token_offset"][row]
                ends = end[slice(*file["trajectory/step_offset"][row : row + 2])]
                steps = [say(ids[first + a : first + b]) for a, b in zip([0, *ends[:-1]], ends)]
                yield {"prompt": say(file["problem/prompt_token"][prompt[problem] : prompt[problem + 1]]), "steps": steps}

    def score_file(self, text):
        """Scores a file in a copy of the run; what was said, with the exit code, and the scores."""
        path, folder = self.root / "texts.jsonl", self.root / "texts"
        path.write_text(text)
        config = self.root / "texts.yaml"
        config.write_text(WALK + f"  texts: {{do: score, value: mc, file: {path}, separator: ' '}}\n")
        shutil.copytree(self.folder, folder)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        done = runs.tdrm(*runs.run_arguments(folder, config=config, more=["--only", "texts"]))
        scores = self.scores(folder / "texts") if done.returncode == 0 else []
        if scores:
            manifest = json.loads((folder / "texts/manifest.json").read_text())
            self.assertEqual({file["name"] for file in manifest["files"]}, {"trajectories.h5", "values.h5"})
            shown = runs.tdrm("show", folder / "texts")
            self.assertEqual(shown.returncode, 0, shown.stdout)
        shutil.rmtree(folder)
        return done, scores

    def test_texts_of_a_file_get_the_same_scores_in_the_order_of_its_rows(self):
        rows = list(self.texts())
        order = list(range(len(rows)))[::-1]
        done, found = self.score_file("\n".join(json.dumps(rows[i]) for i in order) + "\n")
        self.assertEqual(done.returncode, 0, done.stdout)
        expected = self.scores(self.folder / "scored")
        self.assertEqual([line["line"] for line in found], list(range(1, len(rows) + 1)))
        for line, i in zip(found, order):
            np.testing.assert_allclose(line["values"], expected[i]["values"], atol=1e-6)

    def test_files_that_cant_be_scored_are_refused(self):
        for text, message in (('{"prompt": "1", "steps": []}', "line 1"), ('{"steps": ["1"]}', "line 1"), ("[1]", "JSON object"), ("", "no rows"),
                              ('{"prompt": [{"role": "user", "content": "1"}, {"role": "user", "content": "1"}], "steps": ["1"]}', "one turn of the user")):
            done, _ = self.score_file(text + "\n")
            self.assertEqual(done.returncode, 65, done.stdout)
            self.assertIn(message, done.stdout)

    def test_show_has_survival_of_hazards_deviations_of_teams_exact_values_and_true_verdicts(self):
        def page(stage, *words):
            done = runs.tdrm("show", f"{self.folder}/{stage}", *words)
            self.assertEqual(done.returncode, 0, done.stdout)
            return done.stdout

        def states(model, dataset):
            with h5py.File(self.folder / f"bon/{model}/values.h5") as file:
                begin, end = file["state/offset"][2 * 8 + 1 : 2 * 8 + 3]
                return file[dataset][begin:end].astype(float)

        hazard = page("bon", "2", "--answer", "1", "--model", "hazard")
        self.assertIn("(chance of no error so far)", hazard)
        survival = np.cumprod([1, *(1 - 1 / (1 + np.exp(-states("hazard", "state/value")[1:])))])
        for t, value in enumerate(survival):
            self.assertRegex(hazard, rf"(?m)^ +{t}  {value:.3f} ")
        team = page("bon", "2", "--answer", "1", "--model", "team")
        for t, (value, deviation) in enumerate(zip(states("team", "state/value"), states("team", "state/deviation"))):
            self.assertRegex(team, rf"(?m)^ +{t}  {1 / (1 + np.exp(-value)):.3f} \[#* *\] +{deviation:.3f} ")
        with h5py.File(self.folder / "cands/labels.h5") as file:
            begin, end = file["state/offset"][2 * 8 + 1 : 2 * 8 + 3]
            v_pi = file["state/v_pi"][begin:end]
        self.assertEqual([f"{v:.2f}" for v in v_pi], re.findall(r"\] +\S+ +\S+ +(\S+)  ", team))
        with h5py.File(self.folder / "judged/labels.h5") as file, h5py.File(self.folder / "judged/trajectories.h5") as data:
            flipped = np.flatnonzero(file["trajectory/true_outcome"][...] != data["trajectory/outcome"][...])
        row = int(flipped[0])
        self.assertIn("its verdict was flipped", page("judged", row // 8, "--answer", row % 8))
        self.assertRegex(page("notes", "0"), r"tried.*(.|\n)*\d/3")

    def test_what_makes_no_sense_is_refused(self):
        self.refuse(64, "exactly one of them", "stages.scored.file=x.jsonl")
        self.refuse(64, "stages.notes.budget", "stages.notes.budget=0")
        self.refuse(64, "could end before its first answer", "stages.greedy.budget=1")
        self.refuse(64, "no multiple of branch", "stages.greedy.kind=beam", "stages.greedy.paths=3")
        self.refuse(64, "an ensemble of one", "stages.team.members=1")
        self.refuse(64, "stages.mc.target.lambda", "stages.mc.target.lambda=1.5")
        self.refuse(64, "stages.mc.target.gamma", "stages.mc.target.gamma=0")
        self.refuse(64, "terminal has no meaning for kind hazard", "stages.hazard.target.terminal=value")
        self.refuse(64, "stages.rolls.verdict_noise", "stages.rolls.verdict_noise=0.7")
        self.refuse(64, "only one of them can answer", "stages.rolls.policy=base")
        self.refuse(64, "nobody would answer", "stages.rolls.scripted=false")
        self.refuse(64, "is no ensemble", "stages.wary.values=[mc]", again="wary")
        self.refuse(64, "chances of an error", "stages.greedy.value=hazard", again="greedy")
        self.refuse(64, "is a model of hazards", "stages.wary.values=[hazard]", "stages.wary.caution=0", again="wary")
        self.refuse(65, "has no step labels of this source", "stages.exact.labels=sampled", again="exact")
        self.refuse(64, "the whole model is trained", "stages.mc.features=feats")
        self.refuse(65, "belongs to other trajectories", "stages.head.features=other", again="head")
        self.refuse(65, "tried", "stages.exact.target.label_weight=tries", again="exact")


if __name__ == "__main__":
    unittest.main(verbosity=2)
