using Hydragen.Core;

namespace Hydragen.Cuda;

/// <content>Steps of decoding.</content>
public sealed partial class CudaBackend
{
    private readonly List<long> _stepKey = [];
    private bool _isInStep, _stepDraws;

    /// <summary>CUDA graphs and times of steps.</summary>
    internal StepGraphs Steps { get; }

    /// <inheritdoc/>
    public bool RunsAhead => true;

    /// <inheritdoc/>
    public int RoundRows(int numRows) => MatmulShape.RoundRows(numRows);

    /// <inheritdoc/>
    /// <exception cref="CudaException">The step cannot be captured as a CUDA graph, or a kernel fails.</exception>
    /// <exception cref="InsufficientMemoryException">The GPU has not enough free memory; nothing was computed.</exception>
    public void Decode(DecodeStep decodeStep, Action compute)
    {
        ArgumentNullException.ThrowIfNull(decodeStep);
        ArgumentNullException.ThrowIfNull(compute);
        ModelOperators operators = Operators;
        if (decodeStep.NumRows == 0) return;
        CudaKvCache cache = Check.Cache(decodeStep.Cache, 0, decodeStep.Heads);
        cache.CheckSlots(decodeStep.Slots, allowsNone: true);
        _device.MakeCurrent();
        cache.BeginAppend();
        operators.Prepare(decodeStep, cache);
        PrepareAttention(decodeStep.Plan, decodeStep.Heads, decodeStep.QueryType, cache);
        _stepKey.Clear();
        _work.AddTo(_stepKey);
        _stepKey.Add(operators.Stores);
        _stepKey.AddRange([cache.ScalesAddress(0), cache.ScalesAddress(0, PageKind.Prefix)]);
        // One kernel for all rows, also where some are chosen apart from others: which, must follow from the key.
        _stepDraws = !TokenChoice.AreGreedy(decodeStep.Choices);
        long kind = (_stepDraws ? 1 : 0) + (decodeStep.HasLogProbabilities ? 2 : 0) + 4 * cache.ScaledKinds;
        _isInStep = true;
        try
        {
            Steps.Run(decodeStep.Id, decodeStep.NumRows, kind, _work.UsedKernels | (long)operators.Stores << 32, _stepKey, compute);
        }
        finally
        {
            _isInStep = false;
        }
        GC.KeepAlive(cache);
    }

    /// <inheritdoc/>
    public void Forget(DecodeStep decodeStep)
    {
        ArgumentNullException.ThrowIfNull(decodeStep);
        if (!_isDisposed) Steps.Forget(decodeStep.Id);
    }

    /// <inheritdoc/>
    public void ChooseTokens(DeviceBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rowSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        CudaBuffer rows = Check.Float32(logits, (long)choices.Length * rowSize, nameof(logits));
        _device.MakeCurrent();
        Operators.Tokens.Choose(rows, rowSize, choices, first, withLogProbabilities, draws: _isInStep && _stepDraws);
        GC.KeepAlive(logits);
    }

    /// <summary>Where some chosen tokens lie on the device, <c>[numTokens]</c>, and where their FP32 log-probabilities.</summary>
    internal (nint Tokens, nint LogProbabilities) ChosenTokens(int first, int numTokens)
    {
        _device.MakeCurrent();
        return Operators.Tokens.Room(first, numTokens);
    }

    /// <inheritdoc/>
    public PendingTokens ReadTokens(int numTokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numTokens);
        _device.MakeCurrent();
        return Operators.Tokens.Read(numTokens);
    }
}
