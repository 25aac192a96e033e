using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>
/// Decodes sequences, one token of each a step; the backend chooses the tokens. Where it runs ahead, a step is put behind the one before
/// while that computes: its rows continue tokens that nobody has seen yet. What ends unexpectedly, by a token or a stop string, has then
/// one row too many, whose token is dropped; the number of new tokens is known before.
/// </summary>
/// <param name="context">Model, cache and pages.</param>
/// <param name="options">Sampling without penalties.</param>
/// <param name="onToken">Receives the tokens, step after step in the order of rows.</param>
internal sealed class TokenDecoder(EngineContext context, GenerationOptions options, TokenDecoder.TokenHandler onToken)
{
    private readonly bool _runsAhead = context.Options.RunsAhead ?? context.Model.Backend.RunsAhead;
    private Flight _current = new(), _next = new();
    private TokenChoice[] _choices = [];
    private int[] _tokenIds = [];
    private float[] _logProbabilities = [];

    /// <summary>Receives a token of a sequence that has not ended.</summary>
    public delegate void TokenHandler(Sequence sequence, int tokenId, float? logProbability);

    /// <summary>Computes the next token of each sequence, and hands over the tokens that are there by then.</summary>
    /// <param name="active">Sequences in depth-first order that have not ended; all of those whose tokens are under way are among them.</param>
    /// <returns>Whether there were tokens.</returns>
    public bool Step(List<Sequence> active)
    {
        int batch = context.Model.MaxBatchRows;
        if (_runsAhead && active.Count <= batch)
        {
            Launch(_next, active, 0, active.Count);
            bool hasTokens = _current.Sequences.Count > 0;
            Collect(_current);
            (_current, _next) = (_next, _current);
            return hasTokens;
        }
        Collect(_current);
        foreach (Sequence sequence in active) sequence.PendingRow = -1;
        for (int first = 0; first < active.Count; first += batch)
        {
            Launch(_next, active, first, Math.Min(batch, active.Count - first));
            foreach (Sequence sequence in _next.Sequences) sequence.PendingRow = -1;
            Collect(_next);
        }
        return true;
    }

    /// <summary>Starts a step of those sequences that go on behind the tokens that are under way.</summary>
    private void Launch(Flight flight, List<Sequence> active, int first, int count)
    {
        flight.Sequences.Clear();
        StepBuilder step = context.Step;
        step.Clear();
        if (_choices.Length < context.Model.MaxBatchRows) _choices = new TokenChoice[context.Model.MaxBatchRows];
        for (int i = first; i < first + count; i++)
        {
            Sequence sequence = active[i];
            int numKnown = sequence.NumNewTokens + (sequence.PendingRow >= 0 ? 1 : 0);
            if (sequence.IsFinished || numKnown >= sequence.MaxNewTokens) continue;
            step.AddNext(sequence);
            _choices[flight.Sequences.Count] = Choice(sequence);
            sequence.PendingRow = flight.Sequences.Count;
            sequence.NumComputed++;
            flight.Sequences.Add(sequence);
        }
        if (flight.Sequences.Count == 0) return;
        int numRows = context.Model.RoundRows(flight.Sequences.Count);
        step.AddUnused(numRows - flight.Sequences.Count);
        _choices.AsSpan(flight.Sequences.Count, numRows - flight.Sequences.Count).Clear();
        flight.Tokens = context.Decode(options.Sharing, _choices.AsSpan(0, numRows), options.LogProbabilities);
    }

    private TokenChoice Choice(Sequence sequence)
    {
        if (options.Sampling.IsGreedy) return options.Sampling.Choice(0);
        SampleRandom random = sequence.Random;
        TokenChoice choice = options.Sampling.Choice(random.NextDouble());
        sequence.Random = random;
        return choice;
    }

    /// <summary>Waits for the tokens of a step and hands over those of sequences that have not ended meanwhile.</summary>
    private void Collect(Flight flight)
    {
        int count = flight.Sequences.Count;
        if (count == 0) return;
        if (_tokenIds.Length < count)
        {
            _tokenIds = new int[context.Model.MaxBatchRows];
            _logProbabilities = new float[context.Model.MaxBatchRows];
        }
        flight.Tokens!.Wait(_tokenIds.AsSpan(0, count), options.LogProbabilities ? _logProbabilities.AsSpan(0, count) : []);
        context.Model.Group?.ThrowIfFailed();
        for (int i = 0; i < count; i++)
        {
            Sequence sequence = flight.Sequences[i];
            if (sequence.IsFinished) continue;
            Sampler.CheckBest(_tokenIds[i]);
            onToken(sequence, _tokenIds[i], options.LogProbabilities ? _logProbabilities[i] : null);
        }
        flight.Sequences.Clear();
    }

    /// <summary>A step whose tokens nobody has seen yet: the sequences of its rows.</summary>
    private sealed class Flight
    {
        public List<Sequence> Sequences { get; } = [];

        public PendingTokens? Tokens { get; set; }
    }
}
