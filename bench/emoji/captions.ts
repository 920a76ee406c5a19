/** @file The hundred things that are drawn: Unicode's names, plain and easy to tell apart. */
export const CAPTIONS: readonly string[] = [
  'red apple, banana, cherries, grapes, lemon, watermelon, strawberry, pineapple, tomato, eggplant',
  'carrot, broccoli, mushroom, avocado, bread, cheese wedge, hamburger, pizza, doughnut, cookie',
  'birthday cake, lollipop, popcorn, hot dog, taco, egg, honey pot, chocolate bar, cat face, dog face',
  'mouse face, rabbit face, fox, bear, panda, koala, tiger face, lion, cow face, pig face',
  'frog, monkey face, chicken, penguin, owl, baby chick, butterfly, honeybee, lady beetle, snail',
  'octopus, crab, tropical fish, dolphin, turtle, dragon face, unicorn, flamingo, sun, crescent moon',
  'star, rainbow, fire, droplet, snowflake, umbrella, sunflower, tulip, rose, cactus',
  'palm tree, evergreen tree, maple leaf, red heart, blue heart, gem stone, crown, key, locked, bell',
  'guitar, drum, trumpet, soccer ball, basketball, tennis, rocket, automobile, bus, bicycle',
  'house, tent, light bulb, candle, alarm clock, scissors, balloon, wrapped gift, robot, skull',
].flatMap((line) => line.split(', '));
