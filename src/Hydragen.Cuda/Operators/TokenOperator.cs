using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Chooses tokens on the device, where the next step finds them, and reads them without waiting for what comes behind.
/// </summary>
internal sealed class TokenOperator(CudaDevice device, OperatorKernels kernels) : IDisposable
{
    private const int NumReads = 3, MinTokens = 1024;

    private readonly SentArray<RowChoice> _choices = new(device);
    private readonly CudaTokens?[] _reads = new CudaTokens?[NumReads];
    private DeviceMemory? _chosen;
    private RowChoice[] _rows = [];
    private nint _sentChoices;
    private int _capacity, _nextRead, _numSent;

    /// <summary>Device address of the tokens that were chosen, <c>[capacity]</c>, and of their log-probabilities behind them.</summary>
    public nint Chosen => _chosen?.Value ?? 0;

    /// <summary>Tokens that there is room for.</summary>
    public int Capacity => _capacity;

    /// <summary>Sends what <see cref="Choose"/> will be given.</summary>
    public void Prepare(ReadOnlySpan<TokenChoice> choices)
    {
        Reserve(choices.Length);
        if (!TokenChoice.AreGreedy(choices)) Send(choices);
    }

    /// <summary>Chooses a token from each row of FP32 logits.</summary>
    /// <param name="logits">The rows.</param>
    /// <param name="rowSize">Logits of a row.</param>
    /// <param name="choices">How; while launches are captured, a part of what <see cref="Prepare"/> has sent that starts at <paramref name="first"/>.</param>
    /// <param name="first">Where the first token goes.</param>
    /// <param name="withLogProbabilities">Whether log-probabilities go there too.</param>
    /// <param name="draws">Whether to use the kernel that draws also when all of these rows are greedy.</param>
    public void Choose(CudaBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities, bool draws)
    {
        if (choices.IsEmpty) return;
        Reserve(first + choices.Length);
        nint tokenIds = Chosen + first * sizeof(int);
        if (!draws && TokenChoice.AreGreedy(choices))
            kernels.RowMaximum().Launch(choices.Length, 1, new RowMaximumParameters { Rows = logits.Address, Indexes = tokenIds, RowSize = rowSize }, startsEarly: true);
        else
        {
            kernels.RowSample().Launch(choices.Length, 1, new RowSampleParameters
            {
                Rows = logits.Address,
                Choices = Find(choices, first),
                Indexes = tokenIds,
                RowSize = rowSize,
            }, startsEarly: true);
        }
        if (!withLogProbabilities) return;
        kernels.RowLogProbability().Launch(choices.Length, 1, new RowLogProbabilityParameters
        {
            Rows = logits.Address,
            TokenIds = tokenIds,
            Results = Chosen + (_capacity + first) * sizeof(int),
            RowSize = rowSize,
        }, startsEarly: true);
    }

    /// <summary>Where some tokens are, or go, and where their log-probabilities.</summary>
    public (nint Tokens, nint LogProbabilities) Room(int first, int numTokens)
    {
        Reserve(first + numTokens);
        return (Chosen + first * sizeof(int), Chosen + (_capacity + first) * sizeof(int));
    }

    /// <summary>Starts to read the first tokens.</summary>
    public PendingTokens Read(int numTokens)
    {
        Reserve(numTokens);
        CudaTokens read = _reads[_nextRead] ??= new CudaTokens(device);
        _nextRead = (_nextRead + 1) % NumReads;
        read.Start(Chosen, Chosen + _capacity * sizeof(int), numTokens);
        return read;
    }

    public void Dispose()
    {
        _chosen?.Dispose();
        _choices.Dispose();
        foreach (CudaTokens? read in _reads) read?.Dispose();
    }

    /// <summary>The address of the choices of some rows, which are part of what was sent for all rows of a step, or are sent now.</summary>
    private unsafe nint Find(ReadOnlySpan<TokenChoice> choices, int first)
    {
        if (_sentChoices != 0 && first + choices.Length <= _numSent && AreSent(choices, first)) return _sentChoices + first * sizeof(RowChoice);
        Send(choices);
        return _sentChoices;
    }

    private bool AreSent(ReadOnlySpan<TokenChoice> choices, int first)
    {
        for (int i = 0; i < choices.Length; i++)
        {
            if (_rows[first + i] != RowChoice.Of(choices[i])) return false;
        }
        return true;
    }

    private void Send(ReadOnlySpan<TokenChoice> choices)
    {
        if (_rows.Length < choices.Length) _rows = new RowChoice[Math.Max(choices.Length, 2 * _rows.Length)];
        for (int i = 0; i < choices.Length; i++) _rows[i] = RowChoice.Of(choices[i]);
        _sentChoices = 0;
        _sentChoices = _choices.Send(_rows.AsSpan(0, choices.Length));
        _numSent = choices.Length;
    }

    /// <summary>Makes room for so many tokens; those that are there stay.</summary>
    private void Reserve(int numTokens)
    {
        if (_chosen is not null && numTokens <= _capacity) return;
        int capacity = Math.Max(Math.Max(MinTokens, numTokens), 2 * _capacity);
        device.NumScratchChanges++;
        DeviceMemory larger = device.Allocate(2L * capacity * sizeof(int));
        device.Clear(larger);
        if (_chosen is not null)
        {
            device.Copy(larger.Value, _chosen.Value, (long)_capacity * sizeof(int));
            _chosen.Dispose();
        }
        (_chosen, _capacity) = (larger, capacity);
    }
}
