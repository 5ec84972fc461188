"""What ``detect.py`` of an exported package does where the decoder is ``semi_markov``."""

import numpy as np


def events(scores, post, hop, end):  # (T, n_classes) -> onset and offset in seconds, label
    def exact(values):  # sums of such numbers are the same in any order, so that ties are ties
        return np.round(np.asarray(values) * 2**20) / 2**20

    model, labels = post["model"], list(post["model"]["priors"])
    table = {n: exact([model[n][c] for c in labels]).T for n in ("durations", "gaps", "stays")}
    first, priors = (np.array([model[name][c] for c in labels]) for name in ("first", "priors"))
    sure = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    odds = exact(post["weight"] * (np.log(sure / (1 - sure)) - post["prior"] * priors))
    late = np.array(post.get("late_s", (0.0, 0.0))) / hop  # on validation, in frames
    chains = [(np.array([c]), np.zeros(1), np.zeros((1, 1))) for c in range(len(labels))]
    if model["joint"]:  # one chain, whose states are the labels that came last
        weight = post.get("language_weight", 1.0)
        states = {tuple(labels.index(c) for c in h): s for s, h in enumerate(model["histories"])}
        starts, arcs = np.full(len(states), -np.inf), np.full((len(states),) * 2, -np.inf)
        for history, state in states.items():
            for c in range(len(labels)):
                last = (*history, c)[-max(map(len, states)) :]
                while last not in states:
                    last = last[1:]
                arcs[state, states[last]] = exact(weight * model["following"][state][c])
                starts[states[c,]] = exact(weight * first[c])
        chains = [(np.array([history[-1] for history in states]), starts, arcs)]
    for of, starts, arcs in chains:  # the best path: where events begin and end, as boundaries
        lasts, gaps = table["durations"][:, of], table["gaps"][:, of]
        total = np.pad(odds[:, of].cumsum(axis=0), ((1, 0), (0, 0)))
        begun, ended = np.tile(starts, (len(total), 1)), np.full_like(total, -np.inf)
        begin_of, end_of, before = np.full((3, *total.shape), -1)  # -1: nothing comes before
        longest, silence = np.full((2, len(of)), -np.inf)  # of those longer than the tables
        longest_at, silence_at = np.zeros((2, len(of)), int)
        for t in range(1, len(total)):
            n, m = min(t, len(lasts)), min(t + 1, len(gaps))
            longest = longest + table["stays"][of]
            if n == len(lasts):
                new = begun[t - n] + lasts[-1]
                longest_at = np.where(new > longest, t - n, longest_at)
                longest = np.maximum(longest, new)
            near = begun[t - n : t] + lasts[:n][::-1]  # of equals the longest
            is_long = longest > near.max(axis=0)
            begin_of[t] = np.where(is_long, longest_at, t - n + near.argmax(axis=0))
            ended[t] = total[t] + np.maximum(longest, near.max(axis=0))
            if m == len(gaps):
                new = ended[t + 1 - m] + gaps[-1]
                silence_at = np.where(new > silence, t + 1 - m, silence_at)
                silence = np.maximum(silence, new)
            near = ended[t + 1 - m : t + 1] + gaps[:m][::-1]
            is_long = silence > near.max(axis=0)
            ends = np.where(is_long, silence_at, t + 1 - m + near.argmax(axis=0))
            follows = np.maximum(silence, near.max(axis=0))[:, None] + arcs
            is_first = starts >= follows.max(axis=0)
            before[t] = np.where(is_first, -1, follows.argmax(axis=0))
            end_of[t] = ends[before[t]]
            begun[t] = np.maximum(starts, follows.max(axis=0)) - total[t]
        at, state = np.unravel_index(ended.argmax(), ended.shape)
        state = state if ended.max() > 0 else -1
        found, ended_at, reached = [], {}, 0.0
        while state >= 0:
            found.append((begin_of[at, state], at, of[state]))
            at, state = end_of[found[-1][0], state], before[found[-1][0], state]
        for begin, at, c in reversed(found):  # between frames, as the probabilities there say
            around = [scores[max(0, t - 1) : t + 1, c].sum(dtype=float) for t in (begin, at)]
            touches, continues = (
                begin in (0, ended_at.get(c)),
                at < len(scores) and scores[at, c] >= 0.9,
            )
            onset = begin + (0 if touches else np.clip(1 - around[0] - late[0], -0.49, 0.49))
            offset = at + (0 if continues else np.clip(around[1] - 1 - late[1], -0.49, 0.49))
            onset = max(onset, reached) if model["joint"] else onset
            ended_at[c], reached = at, offset
            if onset * hop < end:
                yield onset * hop, min(offset * hop, end), labels[c]
