namespace Hydragen.Text.Decoders;

/// <summary>What stands in for a missing decoder: token texts with a space between them.</summary>
internal sealed class SpaceJoinDecoder : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next);

    private sealed class Stage(DecodeStage next) : DecodeStage
    {
        private bool _isFirst = true;

        public override void Write(ReadOnlySpan<char> text, bool endsToken)
        {
            if (!_isFirst)
                next.Write(" ", endsToken: false);
            _isFirst = false;
            next.Write(text, endsToken);
        }

        public override void Complete() => next.Complete();
    }
}
