namespace Hydragen.Cli.Bench;

/// <summary>Rounds in which modes of a point are measured in turn: A B C, A B C, …; a mode that does not fit into memory drops out.</summary>
/// <typeparam name="TMode">A mode.</typeparam>
/// <typeparam name="TRound">What one measurement of a mode gives.</typeparam>
internal sealed class ModeRounds<TMode, TRound>
    where TMode : notnull
{
    private readonly GenerationContext _context;
    private readonly IReadOnlyList<TMode> _modes;
    private readonly Dictionary<TMode, string?> _skipped;
    private readonly Dictionary<TMode, List<TRound>> _rounds;

    /// <param name="context">What is measured with.</param>
    /// <param name="modes">The modes, in order.</param>
    /// <param name="whyNot">Why a mode does not fit, as far as that is known beforehand; else null.</param>
    public ModeRounds(GenerationContext context, IReadOnlyList<TMode> modes, Func<TMode, string?> whyNot)
    {
        _context = context;
        _modes = modes;
        _skipped = modes.ToDictionary(mode => mode, whyNot);
        _rounds = modes.ToDictionary(mode => mode, _ => new List<TRound>(context.Repeats));
    }

    /// <summary>Whether a mode is left.</summary>
    public bool AnyFits => _modes.Any(Fits);

    /// <summary>The machine around the rounds; null without any, and where nobody watches it.</summary>
    public MachineState? State { get; private set; }

    /// <summary>Why a mode did not fit, or null.</summary>
    public string? WhyNot(TMode mode) => _skipped[mode];

    /// <summary>All rounds of a mode; none when it did not fit.</summary>
    public IReadOnlyList<TRound> Of(TMode mode) => Fits(mode) ? _rounds[mode] : [];

    /// <summary>Does what all modes need; when that does not fit, none does.</summary>
    public void Prepare(Action run)
    {
        if (GenerationContext.TryFit(run) is not { } reason) return;
        foreach (TMode mode in _modes) _skipped[mode] ??= reason;
    }

    /// <summary>Does something once with each mode that is left.</summary>
    public void Each(Action<TMode> run)
    {
        foreach (TMode mode in _modes.Where(Fits)) _skipped[mode] = GenerationContext.TryFit(() => run(mode));
    }

    /// <summary>Measures all rounds.</summary>
    public void Measure(Func<TMode, TRound> measure)
    {
        if (!AnyFits) return;
        State = _context.Watch(() =>
        {
            for (int round = 0; round < _context.Repeats; round++) Each(mode => _rounds[mode].Add(measure(mode)));
        });
    }

    private bool Fits(TMode mode) => _skipped[mode] is null;
}
