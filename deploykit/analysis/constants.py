"""Every threshold of the judge, with its meaning. Fixed once on the development cases; none is a setting."""

from __future__ import annotations

# How sure the judge is before it sends a release back.

#: Of counts: how often, at most, a release that is no worse may be sent back, over all metrics and all looks.
ALPHA = 0.01
#: Of plain series, whose noise is known only from their own past: five in a hundred, which is what a team bears.
ALPHA_SERIES = 0.05
#: Confidence of the intervals that are shown.
CONFIDENCE = 0.99
#: The part of alpha that all metrics that are not critical have together: they need stronger evidence.
MINOR = 0.3

#: Errors get three times the part of slow requests: they are few, so that each has to count.
ERRORS_PART = 3.0

# What matters.

#: A change of a level by less than a tenth does not matter; of a share, by less than a thousandth.
MATTERS = 0.1
MATTERS_SHARE = 0.001

# Plain series: how many points lie beyond what the reference lets expect.

#: Fewer known points are no reference.
FEWEST = 5
#: Deviations from the reference at which exceedances are counted.
LEVELS = (2.0, 4.0, 8.0)
#: P(T > level) of Student's t with three degrees of freedom: what is expected where nothing was counted yet.
TAIL = (0.0697, 0.0140, 0.00204)
#: As how many points that expectation counts.
PRIOR_POINTS = 20.0
#: No exceedance is taken to be rarer than this: something always happens.
RAREST = 0.002
#: A spread of n points is taken to be wider by this over n; that of a control, all of whose points are neighbours and
#: have no past beside them, by the second.
FEW, FEW_CONTROL = 3.0, 8.0
#: What a control's autocorrelation is taken to be before it has shown any, as how many pairs, and at most.
STICKY, STICKY_PAIRS, MOST_STICKY = 0.5, 8.0, 0.95
#: As how many pairs of neighbours "they are independent" counts, and as how many exceedances the Gaussian chain.
PRIOR_PAIRS = 10.0
PRIOR_AGAIN = 4.0
#: What a bad release may do: so many of its points lie beyond a level.
EXCEEDING = (0.3, 0.9)
#: The log evidence that a single straying point can be, half of what is enough.
ONE_POINT = 1.5
#: Half the median deviation of a normal, within which 26 % lie: a series that stays there has become calmer.
CALM, CALM_SHARE = 0.337, 0.264

# What a series is held against.

#: The recent past: so many points, and at least an hour.
RECENT_POINTS, RECENT_SECONDS = 30, 3600.0
#: Another way to expect must be so much better than the plain level to be used.
BETTER = 0.8
#: So many points of a control tell how calm it is.
CALM_POINTS = 10
#: A trend within a short history is believed from so many standard errors on, and for as long again as it was seen.
TREND = 2.0

# Counts: a rate beside another.

#: How many times worse the candidate may be.
RATIOS = (2.0, 10.0, 40.0)
#: And how likely each is: most bad releases that anybody has to stop are several times worse.
RATIO_WEIGHTS = (0.15, 0.8, 0.05)

#: The past is never trusted like more than so many events, nor (where it swung) like fewer than this.
STRONGEST, WEAKEST = 100.0, 0.5
#: Over so many seconds the past's swings are measured: what a step may meet.
SWING_SECONDS = 300.0
#: The part of time in which something happens to both sides, and as how many events the past counts then.
BURST, FREE = 0.02, 4.0
#: The weight of a change with the release, and not later: that is what mostly happens.
FIRST = 0.9
#: A bet on a ratio r is safe while (r - 1) times a bucket's requests times their correlation is below one.
HEAVY = 0.5
#: The candidate's odds of getting a request may move by this factor before its rate is learnt anew.
MOVED = 1.5
#: Where there is a control for a while, the part of the evidence that is kept for the time when there is none.
ALONE = 0.02
#: Without a control, a rate must have doubled to be worse than its past: it also drifts by itself.
LASTING = 1.0
#: It is counted over windows in which so many events are to be expected, of so many seconds at least and at most.
LASTING_EVENTS, LASTING_LEAST, LASTING_MOST = 5.0, 60.0, 300.0

# When a release may pass.

#: What the spreading of the bets costs on average, in log evidence: it is added to what certainty needs.
SPREADING = 1.5
#: Where no number of requests is asked for, so many times the rate must have been visible in each critical count,
#: or an absolute rate of so much, or so many times its limit.
SEEN_RATIO, SEEN_RATE, SEEN_LIMIT = 5.0, 0.005, 2.0
#: A worsening that lasts takes so many windows to be seen against the past, with so many events in each.
SEEN_WINDOWS, SEEN_EVENTS = 5, 20.0
#: No fewer points of a plain series can pass: they could not have spoken against it either.
FEWEST_LIVE = 2
#: When so many looks in a row show no critical metric, the data is late.
LATE_LOOKS = 3

# Leaks: the floors of equal parts of the watch.

#: Parts, and how many of their pairs (of 28) have to rise, beyond those that fall.
BLOCKS, CREEPING = 8, 20
#: Growth an hour that matters, relative to where it began: at this pace a service doubles within half a day.
CREEP_AN_HOUR = 0.1
#: And growth in all, before a pace is worked out of it.
CREPT = 0.02
