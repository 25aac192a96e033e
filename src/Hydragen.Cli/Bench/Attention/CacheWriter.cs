using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>Fills all layers of a cache with random keys and values, many tokens at a time, so that all threads take part.</summary>
/// <param name="cache">The cache.</param>
/// <param name="pool">Where the numbers come from.</param>
/// <param name="cancellationToken">Ends it between two writes.</param>
internal sealed class CacheWriter(KvCache cache, NormalPool pool, CancellationToken cancellationToken)
{
    private const int Capacity = 2048, TokensPerTask = 64;

    private readonly int _tokenSize = cache.Shape.NumKvHeads * cache.Shape.HeadDim;
    private readonly int[] _slots = new int[Capacity];
    private readonly (int Stream, int Token)[] _tokens = new (int, int)[Capacity];
    private readonly float[] _key = new float[Capacity * cache.Shape.NumKvHeads * cache.Shape.HeadDim];
    private readonly float[] _value = new float[Capacity * cache.Shape.NumKvHeads * cache.Shape.HeadDim];
    private int _count;

    /// <summary>The number of a layer, stream and token, and of the kind of numbers: 0 for keys, 1 for values, 2 for queries.</summary>
    public static ulong Key(int layer, int stream, int token, int kind) =>
        ((ulong)(uint)layer * 0x9E3779B97F4A7C15) ^ ((ulong)(uint)stream << 33) ^ ((ulong)(uint)token << 2) ^ (uint)kind;

    /// <summary>Puts a token of a stream into a slot; it may be written later, by <see cref="Flush"/> at the latest.</summary>
    public void Add(int slot, int stream, int token)
    {
        _slots[_count] = slot;
        _tokens[_count++] = (stream, token);
        if (_count == Capacity) Flush();
    }

    /// <summary>Writes what was added.</summary>
    public void Flush()
    {
        for (int layer = 0; layer < cache.Shape.NumLayers; layer++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Parallel.For(0, (_count + TokensPerTask - 1) / TokensPerTask, task =>
            {
                for (int i = task * TokensPerTask; i < Math.Min(_count, (task + 1) * TokensPerTask); i++)
                {
                    (int stream, int token) = _tokens[i];
                    pool.Piece(Key(layer, stream, token, 0), _tokenSize).CopyTo(_key.AsSpan(i * _tokenSize));
                    pool.Piece(Key(layer, stream, token, 1), _tokenSize).CopyTo(_value.AsSpan(i * _tokenSize));
                }
            });
            cache.Write(layer, _slots.AsSpan(0, _count), _key.AsSpan(0, _count * _tokenSize), _value.AsSpan(0, _count * _tokenSize));
        }
        _count = 0;
    }
}
