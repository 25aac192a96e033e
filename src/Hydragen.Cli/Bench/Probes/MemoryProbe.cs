using Hydragen.Cpu;

namespace Hydragen.Cli.Bench;

/// <summary>Reads memory, on all threads at once, each a slice of its own.</summary>
internal sealed class MemoryProbe
{
    // Slices begin with a cache line, and so do the streams within them.
    private const int SliceMultiple = 1024;

    private readonly ThreadTeam _team;
    private readonly Memory<float> _buffer;
    private readonly int _numParts;
    private int _nextPart;
    private float _sink;

    /// <summary>Allocates and fills the memory.</summary>
    /// <param name="team">The threads.</param>
    /// <param name="bytes">Bytes that one measurement reads.</param>
    /// <param name="numParts">So many times as much memory is read in turn.</param>
    public MemoryProbe(ThreadTeam team, long bytes, int numParts = 1)
    {
        _team = team;
        _numParts = numParts;
        int sliceLength = checked((int)(bytes / sizeof(float) / team.NumThreads / SliceMultiple * SliceMultiple));
        BytesPerMeasurement = (long)sliceLength * team.NumThreads * sizeof(float);
        _buffer = LargeArray.Allocate(checked(sliceLength * team.NumThreads * numParts));
        for (int part = 0; part < numParts; part++)
        {
            _nextPart = part;
            team.Run(thread => Slice(thread).Span.Fill(1));
        }
        _nextPart = 0;
    }

    /// <summary>Bytes that one measurement reads.</summary>
    public long BytesPerMeasurement { get; }

    /// <summary>10⁹ bytes a second, one stream a thread.</summary>
    public ProbeSample Read() => Measure(thread => ProbeKernels.Best.Read(Slice(thread).Span));

    /// <summary>10⁹ bytes a second, several streams a thread.</summary>
    public ProbeSample ReadStreams() => Measure(thread => ProbeKernels.Best.ReadStreams(Slice(thread).Span));

    private ProbeSample Measure(Func<int, float> read)
    {
        (double seconds, double share) = _team.Run(thread => Volatile.Write(ref _sink, read(thread)));
        _nextPart = (_nextPart + 1) % _numParts;
        return new ProbeSample(BytesPerMeasurement / seconds / 1e9, share);
    }

    private Memory<float> Slice(int thread)
    {
        int length = _buffer.Length / (_team.NumThreads * _numParts);
        return _buffer.Slice((_nextPart * _team.NumThreads + thread) * length, length);
    }
}
