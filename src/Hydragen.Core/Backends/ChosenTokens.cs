namespace Hydragen.Core;

/// <summary>The chosen tokens of a backend that computes at once, in the memory of the host. Not thread-safe.</summary>
public sealed class ChosenTokens
{
    private readonly LogitSampler _sampler = new();
    private readonly Copy[] _copies = [new(), new(), new()];
    private int[] _tokenIds = [], _resolved = [];
    private float[] _logProbabilities = [], _logits = [];
    private int _next;

    /// <summary>Chooses a token from one row.</summary>
    /// <param name="logits">FP32 <c>[vocabularySize]</c>; undefined afterwards.</param>
    /// <param name="choice">How.</param>
    /// <param name="index">Where the token goes.</param>
    /// <param name="withLogProbability">Whether its log-probability goes there too.</param>
    public void Choose(Span<float> logits, in TokenChoice choice, int index, bool withLogProbability)
    {
        if (_tokenIds.Length <= index)
        {
            Array.Resize(ref _tokenIds, Math.Max(index + 1, 2 * _tokenIds.Length));
            Array.Resize(ref _logProbabilities, _tokenIds.Length);
        }
        if (withLogProbability)
        {
            if (_logits.Length < logits.Length) _logits = new float[logits.Length];
            logits.CopyTo(_logits);
        }
        int tokenId = _sampler.Choose(logits, choice);
        _tokenIds[index] = tokenId;
        if (withLogProbability)
            _logProbabilities[index] = tokenId < 0 ? float.NaN : (float)(_logits[tokenId] - LogitSampling.LogSumExp(_logits.AsSpan(0, logits.Length)));
    }

    /// <summary>The first tokens as they are now.</summary>
    public PendingTokens Read(int numTokens)
    {
        Copy copy = _copies[_next];
        _next = (_next + 1) % _copies.Length;
        copy.Take(_tokenIds.AsSpan(0, numTokens), _logProbabilities.AsSpan(0, numTokens));
        return copy;
    }

    /// <summary>Token ids with those in the place of negative ones that were chosen (<see cref="IComputeBackend.EmbeddingLookup"/>).</summary>
    /// <exception cref="ArgumentOutOfRangeException">No token was ever chosen there.</exception>
    public ReadOnlySpan<int> Resolve(ReadOnlySpan<int> tokenIds)
    {
        if (tokenIds.IndexOfAnyInRange(int.MinValue, -1) < 0) return tokenIds;
        if (_resolved.Length < tokenIds.Length) _resolved = new int[tokenIds.Length];
        for (int i = 0; i < tokenIds.Length; i++)
        {
            int id = tokenIds[i];
            if (id < 0 && ~id >= _tokenIds.Length) throw new ArgumentOutOfRangeException(nameof(tokenIds), id, $"Token {~id} was not chosen.");
            _resolved[i] = id >= 0 ? id : Math.Max(0, _tokenIds[~id]);
        }
        return _resolved.AsSpan(0, tokenIds.Length);
    }

    private sealed class Copy : PendingTokens
    {
        private int[] _tokenIds = [];
        private float[] _logProbabilities = [];

        public void Take(ReadOnlySpan<int> tokenIds, ReadOnlySpan<float> logProbabilities)
        {
            if (_tokenIds.Length < tokenIds.Length)
            {
                _tokenIds = new int[tokenIds.Length];
                _logProbabilities = new float[tokenIds.Length];
            }
            tokenIds.CopyTo(_tokenIds);
            logProbabilities.CopyTo(_logProbabilities);
        }

        public override void Wait(Span<int> tokenIds, Span<float> logProbabilities)
        {
            _tokenIds.AsSpan(0, tokenIds.Length).CopyTo(tokenIds);
            _logProbabilities.AsSpan(0, logProbabilities.Length).CopyTo(logProbabilities);
        }
    }
}
