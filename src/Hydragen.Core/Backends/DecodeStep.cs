namespace Hydragen.Core;

/// <summary>
/// What a step of decoding takes from the host: a row for each sequence, and a token chosen behind each row. One object serves all steps of
/// a model. Not thread-safe.
/// </summary>
/// <param name="heads">Heads of the model's attention.</param>
/// <param name="rotary">Its rotation, or null.</param>
/// <param name="queryType">Type of its queries.</param>
public sealed class DecodeStep(AttentionShape heads, RotaryEmbedding? rotary, ElementType queryType)
{
    private static long _lastId;

    private int[] _tokenIds = [], _slots = [];
    private TokenChoice[] _choices = [];

    /// <summary>Differs for every object.</summary>
    public long Id { get; } = Interlocked.Increment(ref _lastId);

    /// <summary>Heads of attention.</summary>
    public AttentionShape Heads { get; } = heads;

    /// <summary>The rotation of queries and keys, or null.</summary>
    public RotaryEmbedding? Rotary { get; } = rotary;

    /// <summary>Type of the queries.</summary>
    public ElementType QueryType { get; } = queryType;

    /// <summary>Rows.</summary>
    public int NumRows { get; private set; }

    /// <summary>As for <see cref="IComputeBackend.EmbeddingLookup"/>, <c>[numRows]</c>.</summary>
    public ReadOnlySpan<int> TokenIds => _tokenIds.AsSpan(0, NumRows);

    /// <summary>As for <see cref="IComputeBackend.RotaryAppend"/>, <c>[numRows]</c>.</summary>
    public ReadOnlySpan<int> Slots => _slots.AsSpan(0, NumRows);

    /// <summary>How each row's token is chosen, <c>[numRows]</c>.</summary>
    public ReadOnlySpan<TokenChoice> Choices => _choices.AsSpan(0, NumRows);

    /// <summary>Positions of the rows and the keys that they see.</summary>
    public AttentionPlan Plan { get; private set; } = null!;

    /// <summary>Keys and values.</summary>
    public KvCache Cache { get; private set; } = null!;

    /// <summary>Whether log-probabilities of the tokens are wanted.</summary>
    public bool HasLogProbabilities { get; private set; }

    /// <summary>Makes it the next step; its arguments were checked.</summary>
    public void Set(
        ReadOnlySpan<int> tokenIds, ReadOnlySpan<int> slots, AttentionPlan plan, KvCache cache, ReadOnlySpan<TokenChoice> choices, bool hasLogProbabilities)
    {
        if (_tokenIds.Length < tokenIds.Length)
        {
            _tokenIds = new int[tokenIds.Length];
            _slots = new int[tokenIds.Length];
            _choices = new TokenChoice[tokenIds.Length];
        }
        NumRows = tokenIds.Length;
        tokenIds.CopyTo(_tokenIds);
        slots.CopyTo(_slots);
        choices.CopyTo(_choices);
        (Plan, Cache, HasLogProbabilities) = (plan, cache, hasLogProbabilities);
    }
}
