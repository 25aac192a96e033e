namespace Hydragen.Exactness;

/// <summary>Differences of logits, collected position by position.</summary>
internal sealed class LogitErrors
{
    private double _sum, _divergence;
    private long _numLogits;

    public int NumPositions { get; private set; }

    /// <summary>Positions whose largest logit is the same.</summary>
    public int SameGreedy { get; private set; }

    /// <summary>Positions where the exact probability of one token is above one half.</summary>
    public int NumSure { get; private set; }

    /// <summary>Those of them whose largest logit is the same.</summary>
    public int SameSure { get; private set; }

    /// <summary>Largest absolute error of a logit.</summary>
    public double Max { get; private set; }

    /// <summary>Mean absolute error of a logit.</summary>
    public double Mean => _sum / _numLogits;

    /// <summary>Mean over positions of Σ p · ln(p / q), in nats, where p are the exact probabilities.</summary>
    public double MeanDivergence => _divergence / NumPositions;

    public double MaxDivergence { get; private set; }

    public void Add(ReadOnlySpan<float> exact, ReadOnlySpan<float> actual)
    {
        double exactNorm = LogSum(exact), actualNorm = LogSum(actual), divergence = 0;
        int exactBest = 0, actualBest = 0;
        for (int i = 0; i < exact.Length; i++)
        {
            double error = Math.Abs((double)exact[i] - actual[i]), logProbability = exact[i] - exactNorm;
            Max = Math.Max(Max, error);
            _sum += error;
            divergence += Math.Exp(logProbability) * (logProbability - (actual[i] - actualNorm));
            if (exact[i] > exact[exactBest]) exactBest = i;
            if (actual[i] > actual[actualBest]) actualBest = i;
        }
        _numLogits += exact.Length;
        _divergence += divergence;
        MaxDivergence = Math.Max(MaxDivergence, divergence);
        NumPositions++;
        if (exactBest == actualBest) SameGreedy++;
        if (exact[exactBest] - exactNorm <= Math.Log(0.5)) return;
        NumSure++;
        if (exactBest == actualBest) SameSure++;
    }

    private static double LogSum(ReadOnlySpan<float> logits)
    {
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp(logit);
        return Math.Log(sum);
    }
}
