namespace Hydragen.Core;

/// <summary>Chosen tokens on their way to the host. Valid until tokens are read for the third time after this.</summary>
public abstract class PendingTokens
{
    /// <summary>Waits for the tokens, and for nothing behind them.</summary>
    /// <param name="tokenIds">Receives <c>[numTokens]</c>; −1 where a logit is NaN or none is above −∞.</param>
    /// <param name="logProbabilities">Receives FP32 <c>[numTokens]</c>, natural log, if they were asked for; empty when nobody wants them.</param>
    public abstract void Wait(Span<int> tokenIds, Span<float> logProbabilities);
}
